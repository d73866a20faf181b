"""An action that does not look at the state: a ~ N(mean, std^2), its mean and, if learned, its std being theta itself."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import validate
from ..problem import Policy


class Gaussian(NamedTuple):
    """What `mcgrad.exact` knows the policy by: its fixed standard deviations (m,), or None if they are part of theta."""

    std: np.ndarray | None


def gaussian(m: int, std: ArrayLike | None = None, *, states: int = 1) -> Policy:
    """Return the policy a_i = mean_i + std_i e_i, e ~ N(0, I), whatever the state.

    Scores, with e_i = (a_i - mean_i) / std_i: e_i / std_i for mean_i and (e_i^2 - 1) / std_i for std_i.

    theta = (mean_1, ..., mean_m, std_1, ..., std_m), the standard deviations themselves, not their logarithms: the
    parametrization of Mohamed et al. A negative std_i is the same distribution as |std_i|, with the derivative that belongs
    to it; where std_i = 0 there is no density, scores are not finite, and `Moments.nonfinite` counts them.

    Parameters
    ----------
    m : int
        Actions.
    std : float or (m,), optional
        Fixed standard deviations >= 0; theta then is the mean alone. With 0 the policy is deterministic and has no score.
    states : int
        n of the environment, whose state is not looked at.

    Raises
    ------
    ValueError
        For a number that is out of its range or a wrong shape.

    References
    ----------
    Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning. JMLR 21, 132.
    """
    m, states = validate.size("m", m), validate.size("states", states)
    learned = std is None
    names = tuple(f"mean[{i}]" for i in range(m))
    if learned:
        names += tuple(f"std[{i}]" for i in range(m))
        params, singular = {}, False
    else:
        std = validate.array("std", std)
        std = validate.array("std", np.full(m, float(std)) if std.ndim == 0 else std, (m,))
        if (std < 0).any():
            raise ValueError(f"std: expected standard deviations >= 0, got {std.tolist()}")
        singular = bool((std == 0).any())
        params = {"std": std, "precision": np.zeros(m) if singular else 1.0 / std}

    def scales(p, eta):
        return eta[m:] if learned else tuple(p.std[i] for i in range(m))

    def eta(p, theta, s):
        return tuple(theta)

    def sample(p, eta, e):
        return tuple(eta[i] + scale * e[i] for i, scale in enumerate(scales(p, eta)))

    def score(p, eta, a, e):
        if not learned:
            return tuple(p.precision[i] * e[i] for i in range(m))
        precision = tuple(1.0 / scale for scale in scales(p, eta))
        of_means = tuple(precision[i] * e[i] for i in range(m))
        return of_means + tuple(precision[i] * (e[i] * e[i] - 1.0) for i in range(m))

    def log_prob(p, eta, a):
        pairs = enumerate(scales(p, eta))
        return sum(-0.5 * ((a[i] - eta[i]) / scale) ** 2 - 0.5 * math.log(scale * scale) for i, scale in pairs)

    return Policy(
        states=states,
        actions=m,
        noises=m,
        parameters=names,
        eta=eta,
        sample=sample,
        log_prob=log_prob,
        score=score,
        params=params,
        no_score=_NO_SCORE if singular else None,
        name=f"Gaussian m={m}",
        closed_form=Gaussian(None if learned else np.asarray(std)),
    )


_NO_SCORE = (
    "a standard deviation of the policy is 0, so the action has no density and d log p(a) does not exist; use "
    "mcgrad.estimators.reparameterization(), or a positive std"
)
