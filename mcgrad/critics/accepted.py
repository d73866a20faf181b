"""What a user may pass for a critic, and for a value function."""

from .. import validate
from ..baselines.baseline import Baseline
from .critic import Critic
from .exact_critic import Exact


def as_critic(critic: Critic | None) -> Critic:
    """Return the critic to use for what a user passes: None for the exact one."""
    if critic is None:
        return Exact()
    if not isinstance(critic, Critic):
        raise ValueError(f"critic: expected one of mcgrad.critics, got {validate.describe(critic)}")
    return critic


def as_value(critic: Baseline | None) -> Baseline:
    """Return the value function to use for what a user passes: a critic, a baseline of the state, or None (exact)."""
    if critic is None:
        return Exact()
    if not isinstance(critic, Baseline) or critic.per_parameter:
        raise ValueError(
            "critic: expected one of mcgrad.critics, or a baseline such as fitted_value() or of_state(), "
            f"got {validate.describe(critic)}"
        )
    return critic
