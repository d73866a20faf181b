"""What a user may pass for a baseline: None, a number, a vector over time, or a baseline."""

from typing import TypeAlias

from numpy.typing import ArrayLike

from .. import validate
from .baseline import Baseline, Constant, NoBaseline, TimeDependent
from .optimal import OptimalConstant

BaselineLike: TypeAlias = Baseline | OptimalConstant | ArrayLike | None


def as_baseline(b: BaselineLike) -> Baseline | OptimalConstant:
    """Return a baseline for what a user passes: None, a number, a vector over time, or a baseline."""
    if b is None:
        return NoBaseline()
    if isinstance(b, (Baseline, OptimalConstant)):
        return b
    if isinstance(b, type) or callable(b):
        raise ValueError(
            f"baseline: expected a baseline, got {validate.describe(b)}; write value(), of_state(function)"
        )
    b = validate.array("baseline", b)
    if b.ndim > 1:
        raise ValueError(f"baseline: expected a number or one number for each time step, got shape {b.shape}")
    return Constant(float(b)) if b.ndim == 0 else TimeDependent(b)
