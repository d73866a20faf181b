"""How the variance of an estimator depends on the exploration (`exploration`) and on the horizon (`growth`).

A baseline that is recognised (the value function, the mean or the optimum for this system) is taken to be recomputed on
the way; any other number stays what it is. Predictions are for the sum of the variances over the entries of K, or over
the log scales, of systems without coincidences (an F_t that vanishes on the way, two leading parts that cancel).
"""

import numpy as np
from numpy.typing import ArrayLike

from ... import validate
from ...critics.exact_critic import Exact
from ...estimators import Estimator, reward_to_go, score_function
from ...estimators import kinds as estimators
from .. import algebra
from ..leaves import Pathwise, Rule
from ..theory import Array, NoClosedForm, Theory
from .exploration import std_exponent
from .exponents import CLOSE, Known, Scaling
from .growth import horizon_exponent
from .values import mean_return_to_go, value_forms


def scaling(theory: Theory, X: Estimator, parameters: str = "gain") -> Scaling:
    """Predict how the variance of an estimator depends on the exploration and on the horizon.

    `parameters`: "gain", the entries of K, or "scale", the log scales (predicted whether learned or not). What is not
    predicted has power None and says why. Cost: that of a few recursions, of the optimal baselines where X has
    a constant or time-dependent one, and of the variance where X has no noise without exploration.
    """
    validate.one_of("parameters", parameters, ("gain", "scale"))
    scale, known = parameters == "scale", _known(theory, X)
    return Scaling(std_exponent(theory.system, known, scale), horizon_exponent(theory.system, known, scale))


# ---- what an estimator is ----------------------------------------------------------------------------------------


def _known(theory: Theory, X: Estimator) -> Known:
    found = algebra.terms(theory, X)
    if len(found) != 1 or np.any(np.asarray(found[0].coefficient) != 1.0) or found[0].rollout != algebra.PLAIN:
        raise NoClosedForm(f"no exponents are known for combinations such as {type(X).__name__}")
    leaf = found[0].leaf
    if isinstance(leaf, Pathwise):
        return Known(estimators.Reparameterization)
    critic = getattr(X, "critic", None)
    if isinstance(critic, Exact) and (critic.shift, critic.amplitude) != (0.0, 0.0):
        raise NoClosedForm(f"no exponents are known for a critic that is {critic}")
    if isinstance(leaf, Rule) and leaf.trace == 1.0 and leaf.ahead is None and not np.ndim(leaf.expected):
        kind = estimators.ScoreFunction if leaf.whole else estimators.RewardToGo
        return Known(kind, *(_of_whole if leaf.whole else _of_to_go)(theory, leaf))
    return Known(type(X), option=getattr(X, "decay", getattr(X, "first_order", None)))


def _of_whole(theory: Theory, leaf: Rule) -> tuple[str, Array]:
    """Return what the baseline of a score function is, a key of `KINDS`, and the number, or one for each parameter."""
    b = -np.asarray(leaf.score, dtype=float)
    if np.ndim(leaf.weight) and np.any(leaf.weight):
        raise NoClosedForm("no exponents are known for score functions with baselines that are not constant")
    if not np.any(b):
        return "none", b
    if _equal(b, theory.objective):
        return "mean", b
    return ("optimum" if any(_equal(b, x) for x in _best_constants(theory, True, b.ndim)) else "number"), b


def _of_to_go(theory: Theory, leaf: Rule) -> tuple[str, Array]:
    """Return the same for reward to go, and the forms (T, 1 or P, 1 + n, 1 + n)."""
    n = 1 + theory.system.states
    weight = np.asarray(leaf.weight)[..., :n, :n] if np.ndim(leaf.weight) else np.zeros((theory.horizon, 1, n, n))
    score = np.atleast_1d(leaf.score)
    forms = -np.broadcast_to(weight, (theory.horizon, max(weight.shape[1], len(score)), n, n)).copy()
    forms[..., 0, 0] -= score
    b = forms[:, :, 0, 0]
    if not np.any(forms):
        return "none", forms
    if _equal(forms, value_forms(theory.system)[:-1]):
        return "value", forms
    if np.any(forms[..., 1:]) or np.any(forms[..., 1:, :]):
        return "state", forms
    if _equal(b, mean_return_to_go(theory.system)[:-1, None]):
        return "mean", forms
    cov, power = algebra.with_scores(theory, reward_to_go())
    gain = slice(0, theory.system.K.size)
    totals = [algebra.ratio(cov[:, p].sum(axis=1), power[:, p].sum(axis=1))[:, None] for p in (slice(None), gain)]
    if any(_equal(b, x) for x in (algebra.ratio(cov, power), *totals)):
        return "optimum", forms
    if np.any(b != b[:1]):
        return "time", forms
    if _equal(b[0], theory.objective):
        return "level", forms
    best = _best_constants(theory, False, True) + _best_constants(theory, False, False)
    return ("best level" if any(_equal(b[0], x) for x in best) else "number"), forms


def _best_constants(theory: Theory, whole: bool, for_each: bool | int) -> list[Array]:
    """Return the constants of least variance: for each parameter, or for the sums over all of them and over the gain."""
    X = score_function() if whole else reward_to_go()
    cov, power = (x.sum(axis=0) for x in algebra.with_scores(theory, X))
    if for_each:
        return [algebra.ratio(cov, power)]
    return [algebra.ratio(cov[p].sum(), power[p].sum()) for p in (slice(None), slice(0, theory.system.K.size))]


def _equal(a: ArrayLike, b: ArrayLike) -> bool:
    a, b = np.broadcast_arrays(a, b)
    return bool(np.all(np.abs(a - b) <= CLOSE * np.abs(b).max()))
