"""Bandits: one state, one action, one reward."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import validate
from ..compiler.functions import lookup
from ..problem import Environment


class Bandit(NamedTuple):
    """A bandit as `mcgrad.exact` reads it: means and standard deviations of the arms' rewards, both (A,)."""

    values: np.ndarray
    std: np.ndarray


def bandit(values: ArrayLike, std: ArrayLike = 0.0) -> Environment:
    """Return the bandit whose arm k pays N(values[k], std[k]^2); to be played with a horizon of 1 and `softmax(1, A)`.

    Parameters
    ----------
    values : (A,) array
        Mean rewards, of at least two arms.
    std : float or (A,) array
        Standard deviations of the rewards, >= 0.

    Raises
    ------
    ValueError
        For less than two arms, another shape, a number that is not finite, or a std < 0.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> arms = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0]), mg.policies.softmax(1, 3), horizon=1)
    >>> theta = np.log([0.5, 0.3, 0.2])
    >>> round(mg.exact.objective(arms, theta), 12)  # .5 + .3 2 + .2 0
    1.1
    """
    values = validate.array("values", values, (None,))
    std = validate.array("std", std)
    std = validate.array("std", np.full(len(values), float(std)) if std.ndim == 0 else std, (len(values),))
    if (std < 0).any():
        raise ValueError(f"std: expected standard deviations >= 0, got {std.tolist()}")
    noisy = bool(std.any())

    def reward(p, s, a, s_next, w):
        paid = lookup(p.values, a[0])
        return paid + lookup(p.std, a[0]) * w[0] if noisy else paid

    return Environment(
        states=1,
        actions=1,
        choices=validate.integer("values", len(values), 2),
        noises=1 if noisy else 0,
        params={"values": values} | ({"std": std} if noisy else {}),
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=reward,
        name=f"bandit A={len(values)}",
        closed_form=Bandit(values, std),
    )


def bernoulli_toy(target: float = 0.45) -> Environment:
    """Return the two-valued toy of REBAR and RELAX: b = 0 or 1, the cost (b - target)^2 taken as the value.

    With `linear_softmax([[[0.0], [1.0]]])` the one parameter is the logit of b = 1. E (b - t)^2 has the derivative
    p (1 - p) (1 - 2 t), next to nothing at t = 0.499.

    Parameters
    ----------
    target : float
        t, at most 1e150 in size; 0.45 is that of REBAR, 0.499 that of RELAX.

    Raises
    ------
    ValueError
        For a target that is no such number.

    References
    ----------
    Tucker et al. (2017), REBAR; Grathwohl et al. (2018), Backpropagation through the void (RELAX).
    """
    target = validate.number("target", target, -1e150, 1e150)
    return bandit([target**2, (1.0 - target) ** 2])
