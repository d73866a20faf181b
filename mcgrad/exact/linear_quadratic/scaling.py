"""How fast the variance of an estimator grows as the exploration vanishes, and as the horizon grows.

*Exploration.* With L replaced by c L and c -> 0 the variance goes as c^p, p even. Each summand of the martingale
increments in `estimators` has an order in c, found on the noise-free system (L = 0): a score is of order -1 where that
visits the state (log scales: 0), the temporal-difference error 0 where process noise enters it and 1 where exploration
alone does, and so on; p is twice the least order. So returns go as c^-2, a value baseline cures this without process
noise only, and exact critics or derivatives always do.

*Horizon.* With T -> infinity the variance goes as T^p rho^(q T), rho the spectral radius of A + B K. Without a discount

    K                              rho < 1     rho = 1     rho > 1          log scales: <, =, > 1
    returns, constant baselines    T^3         T^6         rho^6T           T^3   T^5   T rho^4T
    centred returns                T^2         T^6         rho^6T           T^2   T^5   T rho^4T
    errors of the value function   T^2         T^6         T^2 rho^4T       T^2   T^5   rho^4T
    exact critics, derivatives     T           T^6         T^2 rho^4T       T     T^4   rho^4T

and with a discount < 1, rho < 1, all stay bounded but the score function and returns to go less a given constant, of
order T. Centred: R minus its mean or the best constant, returns to go minus their means or the best b_t. Errors: a value
baseline, lambda = 1, action control variates. lambda < 1 counts with the exact critics.

A baseline that is recognised (the value function, the mean or the optimum for this system) is taken to be recomputed on
the way; any other number stays what it is. Predictions are for the sum of the variances over the entries of K, or over
the log scales, of systems without coincidences (an F_t that vanishes on the way, two leading parts that cancel).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import critics, estimators, validate
from ...estimators import Estimator
from .. import algebra
from ..leaves import Pathwise, Rule
from ..theory import Array, NoClosedForm, Theory
from .covariances import variance
from .increments import OfPath
from .system import System, factor
from .values import (
    gradient_to_go,
    mean_return_to_go,
    objective,
    return_variance,
    riccati,
    state_moments,
    value_forms,
)

NEVER = np.inf  # the order of what is zero
CLOSE = 1e-9  # relative difference below which numbers count as equal
KINDS = {
    "none": "no baseline",
    "number": "a constant",
    "level": "for returns to go, the mean of the whole return",
    "best level": "for returns to go, the best constant",
    "time": "a function of time",
    "mean": "the mean of the return, or of each return to go",
    "optimum": "the best constant for the return, or the best function of time for returns to go",
    "value": "the value function",
    "state": "another function of the state",
}


@dataclass(frozen=True)
class Exponent:
    """Var ~ x^power, for a horizon x = T times rho^(rate T); power None where no prediction is known; the reason."""

    power: float | None
    reason: str
    rate: float = 0.0


@dataclass(frozen=True)
class Scaling:
    """Exponents of the variance: `std`, the policy's standard deviation -> 0; `horizon`, T -> infinity."""

    std: Exponent
    horizon: Exponent


class Known(NamedTuple):
    """What an estimator is here: a class of `mcgrad.estimators`, its baseline, one of `KINDS`, and that as numbers or forms."""

    kind: type
    baseline: str | None = None
    b: Array | None = None
    option: float | bool | None = None  # the decay, or whether a control variate is of first order


def scaling(theory: Theory, X: Estimator, parameters: str = "gain") -> Scaling:
    """Predict how the variance of an estimator depends on the exploration and on the horizon.

    `parameters`: "gain", the entries of K, or "scale", the log scales (predicted whether learned or not). What is not
    predicted has power None and says why. Cost: that of a few recursions, of the optimal baselines where X has
    a constant or time-dependent one, and of the variance where X has no noise without exploration.
    """
    validate.one_of("parameters", parameters, ("gain", "scale"))
    scale, known = parameters == "scale", _known(theory, X)
    return Scaling(_std(theory.system, known, scale), _horizon(theory.system, known, scale))


# ---- what an estimator is ----------------------------------------------------------------------------------------


def _known(theory: Theory, X: Estimator) -> Known:
    found = algebra.terms(theory, X)
    if len(found) != 1 or np.any(np.asarray(found[0].coefficient) != 1.0) or found[0].rollout != algebra.PLAIN:
        raise NoClosedForm(f"no exponents are known for combinations such as {type(X).__name__}")
    leaf = found[0].leaf
    if isinstance(leaf, Pathwise):
        return Known(estimators.Reparameterization)
    critic = getattr(X, "critic", None)
    if isinstance(critic, critics.Exact) and (critic.shift, critic.amplitude) != (0.0, 0.0):
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
    weight = leaf.weight[..., :n, :n] if np.ndim(leaf.weight) else np.zeros((theory.horizon, 1, n, n))
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
    cov, power = algebra.with_scores(theory, estimators.reward_to_go())
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
    X = estimators.score_function() if whole else estimators.reward_to_go()
    cov, power = (x.sum(axis=0) for x in algebra.with_scores(theory, X))
    if for_each:
        return [algebra.ratio(cov, power)]
    return [algebra.ratio(cov[p].sum(), power[p].sum()) for p in (slice(None), slice(0, theory.system.K.size))]


def _equal(a: ArrayLike, b: ArrayLike) -> bool:
    a, b = np.broadcast_arrays(a, b)
    return bool(np.all(np.abs(a - b) <= CLOSE * np.abs(b).max()))


# ---- exploration -> 0 --------------------------------------------------------------------------------------------


def _std(system: System, known: Known, scale: bool) -> Exponent:
    parts, baseline = _parts(system, known, scale), known.baseline
    if parts is None:
        return Exponent(None, f"no prediction is known for {known.kind.__name__}")
    name, order = min(parts.items(), key=lambda part: part[1])
    if baseline == "state" and order > _Orders(system, scale).z.min():
        return Exponent(None, f"how {KINDS[baseline]} as a baseline follows the exploration is not known")
    if order == NEVER:
        return Exponent(None, "the variance is zero for every standard deviation")
    return Exponent(float(2 * order), f"the largest part is of order std^{order:.0f}: {name}")


def _parts(system: System, known: Known, scale: bool) -> dict[str, float] | None:
    """Return the orders in c of an estimator's summands, by name; None if it is not known."""
    o, E, kind = _Orders(system, scale), estimators, known.kind
    past = {"past scores times the errors of the value function": (o.past + o.error).min()}
    own = {"each score times the error of its own step": (o.z + o.error).min()}
    common = {"news about the gradient to go": o.news.min(), "the gradient given s_0": o.start_gradient}
    if kind is E.ScoreFunction:
        level = o.level(known.b, known.baseline) + o.z.min()
        running = {"each score times the return so far": (o.running + o.z).min()}
        return past | own | running | {"the mean return less the baseline, times the scores": level} | common
    if kind is E.RewardToGo:
        left = {"what the baseline leaves of the value, times the score": o.left(known.b, known.baseline)}
        return past | own | left | common
    if kind is E.GeneralizedAdvantage:
        return (past if known.option else {}) | own | common
    if kind in (E.Advantage, E.QFunction):
        parts = {"each score times its own advantage": (o.z + o.advantage).min()} | common
        return parts | ({"the value, times the score": o.left(None, "none")} if kind is E.QFunction else {})
    if kind is E.ActionControlVariate:
        left = np.minimum(o.noise, o.square) if known.option else o.noise
        return past | {"each score times what the control variate leaves of its step": (o.z + left).min()} | common
    if kind is E.AllActions:
        return common
    if kind is E.ValueGradient:
        return {"the noise in the critic's action gradient": o.critic.min()} | common
    if kind is E.Reparameterization:
        return {"the noise in the derivative of the return": o.pathwise()}
    return {"the scores": o.z.min()} if kind is E.Score else None


class _Orders:
    """Orders in c of what the estimators are made of, each (T,) unless it belongs to s_0; `NEVER` for zero."""

    def __init__(self, system: System, scale: bool) -> None:
        self.system, self.scale, T = system, scale, system.horizon
        self.quiet = replace(system, L=0 * system.L, learn_scale=False)
        self.P, self.c, F, U = riccati(self.quiet)
        mean, cov = (part[:-1] for part in state_moments(self.quiet))
        second = cov + mean[:, :, None] * mean[:, None, :]
        self.mean, self.cov, moved = mean, cov, system.closed @ second @ system.closed.T
        explored = (np.arange(T) > 0) & np.any(system.B @ system.L)
        self.state = np.where(_some(second), 0, np.where(explored, 1, NEVER))
        self.z = np.zeros(T) if scale else self.state - 1
        self.past = _before(self.z)

        K, P, weight = system.K, self.P[1:], system.discount ** np.arange(T)[:, None, None]
        size = np.abs(weight * system.R @ K).max((1, 2)) + np.abs(system.B.T @ P @ system.closed).max((1, 2))
        F = np.where(np.abs(F) > 1e-12 * size[:, None, None], F, 0.0)
        feedback = np.where(_some(F @ second @ F.swapaxes(-1, -2)), 0, np.where(_some(F), 1, NEVER))
        self.feedback, self.square = np.maximum(feedback, self.state), np.where(_some(U), 2, NEVER)
        self.advantage = np.minimum(1 + self.feedback, self.square)
        self.noise = self._shock(P[:, None], factor(system.W, "W"), moved, 0)
        self.error = np.minimum(self.noise, self.advantage)

        entries = np.arange(K.size)
        H = np.zeros((T + 1, 1, *P.shape[1:])) if scale else gradient_to_go(self.quiet, entries)[0]
        shocks = [(factor(system.W, "W"), 0), (system.B @ system.L, 1)]
        self.news = np.min([self._shock(H[1:], root, moved, order) for root, order in shocks], axis=0)
        self.start_gradient = self._start(H[0])
        self.running = np.minimum(self._start(self.P[:1]), _before(self.error))
        own = self.advantage if scale else np.where(_some(U), 1 + self.state, NEVER)
        self.critic = np.minimum(own, self.news)

    def level(self, b: Array, kind: str) -> float:
        """Order of J - b."""
        if kind == "mean":
            return NEVER
        if kind == "optimum":
            return 0 if return_variance(self.quiet) > 0 else 2
        J = objective(self.quiet)
        return 0 if np.any(np.abs(J - b) > CLOSE * (abs(J) + np.abs(b))) else 2

    def left(self, forms: Array | None, kind: str) -> float:
        """Order of sum_t (V_t - b_t)(s_t) z_t; a baseline of another kind counts as the value function."""
        if kind in ("value", "state"):
            return NEVER
        P, mean, cov = self.P[:-1], self.mean, self.cov
        random = _some(cov @ P @ mean[..., None]) | _some(cov @ P @ cov)
        V = -(np.einsum("tij,tij->t", P, cov) + np.einsum("ti,tij,tj->t", mean, P, mean) + self.c[:-1])[:, None]
        visited = np.flatnonzero(self.state == 0)
        if kind in ("level", "best level"):
            b = V[visited[0]] if len(visited) else np.zeros(1)
        else:
            b = np.zeros(1) if forms is None else np.asarray(forms, dtype=float)[:, :, 0, 0]
        off = np.any(np.abs(V - b) > CLOSE * (np.abs(V) + np.abs(b)), axis=1) & (kind not in ("mean", "optimum"))
        return (np.where(random | off, 0, np.where(self.state == 0, 1, 2)) + self.z).min()

    def pathwise(self) -> float:
        """Order of the least-order noise in dR/dp."""
        if self.scale:
            later = np.minimum.accumulate(self.noise[::-1])[::-1]
            return np.min([1 + self.feedback, self.square, 1 + later])
        gain, quiet, system = slice(0, self.system.K.size), self.quiet, self.system
        if variance(quiet, OfPath(quiet)).sum() > 0:
            return 0
        return (1 if np.any(self.state == 0) else 2) if variance(system, OfPath(system))[gain].sum() > 0 else NEVER

    @staticmethod
    def _shock(forms: Array | None, root: Array, moved: Array, order: int) -> Array:
        """Order of 2 x'form root xi + xi'root'form root xi - tr, x = Acl s, for a root of the given order."""
        linear = forms @ root  # (T, p, n, r)
        seen = _some(linear.swapaxes(-1, -2) @ moved[:, None] @ linear)
        line = np.where(seen, 0, np.where(_some(linear), 1, NEVER)) + order
        square = np.where(_some(root.T @ linear), 2 * order, NEVER)
        return np.minimum(line, square).min(axis=1)

    def _start(self, forms: Array | None) -> float:
        C = self.system.initial_factor
        return 0 if np.any(C.T @ forms @ C) or np.any(C.T @ forms @ self.system.mean) else NEVER


def _some(array: Array) -> NDArray[np.bool_]:
    """Whether any number of the last two axes is not zero."""
    return np.any(array != 0, axis=(-2, -1))


def _before(order: Array) -> Array:
    """Least order over the steps before: (T,)."""
    return np.concatenate([[NEVER], np.minimum.accumulate(order)[:-1]])


# ---- horizon -> infinity -----------------------------------------------------------------------------------------

# family: power at rho < 1, at rho = 1, (rate, power) at rho > 1; for K, then for the log scales
_GROWTH = {
    "returns": ((3, 6, (6, 0)), (3, 5, (4, 1))),
    "centred returns": ((2, 6, (6, 0)), (2, 5, (4, 1))),
    "errors of the value function": ((2, 6, (4, 2)), (2, 5, (4, 0))),
    "exact critics and derivatives": ((1, 6, (4, 2)), (1, 4, (4, 0))),
    "the score": ((1, 2, (2, 0)), (1, 1, (0, 1))),
}
_REASONS = {
    "returns": "the scores, of variance T, multiply returns with a mean of order T",
    "centred returns": "the scores, of variance T, multiply deviations of the return of variance T",
    "errors of the value function": "the sum of all past scores multiplies each error of the value function",
    "exact critics and derivatives": "noise of a bounded memory adds up, step by step",
    "the score": "independent increments",
}


def _horizon(system: System, known: Known, scale: bool) -> Exponent:
    kind, baseline, family = known.kind, known.baseline, _family(known)
    if family is None:
        detail = f" with {KINDS[baseline]} as its baseline" if baseline else ""
        return Exponent(None, f"no prediction is known for {kind.__name__}{detail}")
    if scale and kind is estimators.AllActions:
        return Exponent(None, "the variance is zero for every horizon")
    rho = np.abs(np.linalg.eigvals(system.closed)).max()
    gamma, score = system.discount, family == "the score"
    if gamma != 1 and not score:
        if not (0 < gamma < 1 and rho < 1 - CLOSE):
            return Exponent(None, "with a discount, predictions are known for a spectral radius below 1 only")
        if kind is estimators.ScoreFunction:
            return Exponent(1.0, "the scores go on adding up after the discounted return has come to rest")
        if baseline in ("number", "level"):
            return Exponent(1.0, "the baseline goes on adding up after the discounted returns to go have gone")
        return Exponent(0.0, "the discount ends all later contributions")
    if rho < 1 - CLOSE:
        return _stable(system, family, scale)
    refusal = _not_generic(system, rho)
    if refusal:
        return Exponent(None, refusal)
    _, critical, unstable = _GROWTH[family][scale]
    if rho <= 1 + CLOSE:
        return Exponent(float(critical), "at spectral radius 1 the state's variance grows as T")
    rate, power = unstable
    reason = "the state grows as rho^t: costs as its square, scores of K and derivatives along it"
    return Exponent(float(power), reason, float(rate))


def _family(known: Known) -> str | None:
    E, kind = estimators, known.kind
    if kind in (E.ScoreFunction, E.RewardToGo):
        centred = {"mean": "centred returns", "optimum": "centred returns", "value": "errors of the value function"}
        return (dict.fromkeys(("none", "number", "level", "best level"), "returns") | centred).get(known.baseline)
    if kind in (E.GeneralizedAdvantage, E.Advantage, E.AllActions, E.ValueGradient, E.Reparameterization):
        return "exact critics and derivatives"
    return {E.QFunction: "returns", E.ActionControlVariate: "errors of the value function", E.Score: "the score"}.get(
        kind
    )


def _stable(system: System, family: str, scale: bool) -> Exponent:
    from scipy.linalg import solve_discrete_lyapunov

    cov = solve_discrete_lyapunov(system.closed, system.noise @ system.noise.T)
    stage = system.Q + system.K.T @ system.R @ system.K
    costs = np.array([np.sum(stage * cov), np.sum(system.R * system.policy_cov)])
    if family != "the score" and not (np.any(stage) or np.any(system.R)):
        return Exponent(None, "there are no costs but at the end")
    if not np.any(cov):
        if family == "exact critics and derivatives":
            return Exponent(0.0, "without lasting noise the state comes to rest")
        return Exponent(None, "there is no lasting noise in the state")
    if family == "returns" and abs(costs.sum()) <= CLOSE * np.abs(costs).sum():
        family = "centred returns"
    return Exponent(float(_GROWTH[family][scale][0]), _REASONS[family])


def _not_generic(system: System, rho: float) -> str | None:
    """Why the modes of the spectral radius are not as the predictions assume, or None."""
    stage = system.Q + system.K.T @ system.R @ system.K
    start = system.cov + np.outer(system.mean, system.mean) if rho > 1 + CLOSE else 0.0
    drive = system.noise @ system.noise.T + start
    values, right = np.linalg.eig(system.closed)
    near = np.abs(values) > rho * (1 - 1e-6)
    if np.linalg.matrix_rank(right[:, near], tol=1e-5) < near.sum():
        return "the spectral radius belongs to a Jordan block; further powers of T enter"
    values, left = np.linalg.eig(system.closed.T)
    left = left[:, np.abs(values) > rho * (1 - 1e-6)].T  # rows y*, y*A = value y*
    small = 1e-10
    if np.any(np.linalg.norm(left @ system.B, axis=1) <= small * np.abs(system.B).max()):
        return "no action reaches a mode of the spectral radius"
    if np.any(np.abs(np.einsum("ki,ij,kj->k", left, drive, left.conj())) <= small * np.abs(drive).max()):
        return "no noise reaches a mode of the spectral radius"
    modes = right[:, near].T
    if np.any(np.abs(np.einsum("ki,ij,kj->k", modes.conj(), stage, modes)) <= small * np.abs(stage).max()):
        return "no cost sees a mode of the spectral radius"
    return None
