"""The standard deviations of a Gaussian policy with independent actions."""

import numpy as np
from numpy.typing import NDArray

from ..problem import Policy


def scales(policy: Policy) -> tuple[NDArray[np.float64], str] | None:
    """Return the fixed factors of the standard deviations (m,), and what eta holds beside: "fixed", "log" or "std".

    None for a policy that is not Gaussian with independent actions and std > 0.
    """
    form = policy.closed_form
    root, std = getattr(form, "root", None), getattr(form, "std", None)
    if root is not None and not policy.no_score and np.array_equal(root, np.diag(np.diag(root))):
        return np.diag(root), "log" if form.learn_std else "fixed"
    if root is None and hasattr(form, "std") and not policy.no_score:
        return (np.ones(policy.actions), "std") if std is None else (std, "fixed")
    return None
