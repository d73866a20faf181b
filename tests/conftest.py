"""Fixtures of all tests."""

import os

# Workers side by side would fight for the cores with threads of their linear algebra; before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest  # noqa: E402
from support import SEED  # noqa: E402


@pytest.fixture
def seed():
    """Return the seed of the Monte Carlo tests."""
    return SEED
