"""Fixtures of all tests."""

import pytest
from support import SEED


@pytest.fixture
def seed():
    """Return the seed of the Monte Carlo tests."""
    return SEED
