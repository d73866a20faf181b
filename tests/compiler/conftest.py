import inspect

import pytest
from two_functions import ARGUMENTS, add, subtract

from mcgrad.compiler import native


@pytest.fixture(scope="module")
def codes():
    """Return the machine code of `add` and of `subtract`."""
    return [native.compile_text(inspect.getsource(f), {}, ARGUMENTS) for f in (add, subtract)]
