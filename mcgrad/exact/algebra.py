"""Every question about estimators in terms of the moments of their leaves: written once, for every theory.

A sample is a sum of C X over leaves X, each on a rollout: the plain one, or one whose noise has other signs. C is a number, one
for each parameter (P,), or a matrix (P, P) that mixes them (natural gradients, controls of all parameters). With J a joint
covariance, Cov(C X, D Y)_p = (C J D^T)_pp, which is c_p d_p Cov(X_p, Y_p) where nothing is mixed.
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..estimators import Estimator, reward_to_go
from ..estimators import kinds as estimators
from ..estimators.inverse_variance import weights as inverse_weights
from ..estimators.natural import generalised_inverse
from .leaves import Pathwise, Rule, Tuning, folded, identity, read
from .theory import Array, Leaf, NoClosedForm, Signs, Theory

PLAIN = (1, 1, 1)  # signs of the noise of the start, of the actions and of the process
FLIPS = {"all": (-1, -1, -1), "actions": (1, -1, 1)}


class Term(NamedTuple):
    """C X on a rollout; X a leaf, or one of the records below."""

    coefficient: float | Array
    leaf: Leaf
    rollout: Signs = PLAIN


class GroupOf(NamedTuple):
    """1/G sum_i (R_i - mean of the other returns) Z_i, G trajectories, the first of them the plain rollout."""

    size: int

    @property
    def key(self) -> Hashable:
        """What tells leaves apart."""
        return "group", self.size


class Opaque(NamedTuple):
    """An estimator of which mean and variance alone are known: functions that return (P,)."""

    key: Hashable
    mean: Callable[[], Array]
    variance: Callable[[], Array]
    name: str


# ---- questions ---------------------------------------------------------------------------------------------------


def mean(theory: Theory, estimator: Estimator) -> Array:
    """Return the mean of one sample, (P,)."""
    total = np.zeros(theory.parameters)
    for c, x, _ in terms(theory, estimator):
        total = total + _applied(c, _mean(theory, x))
    return total


def variance(theory: Theory, estimator: Estimator) -> Array:
    """Return the variance of one sample, (P,)."""
    x = terms(theory, estimator)
    return np.maximum(_covariance(theory, x, x), 0.0)


def covariance(theory: Theory, first: Estimator, second: Estimator) -> Array:
    """Return the covariance of two samples on the same noise, parameter by parameter, (P,)."""
    return _covariance(theory, terms(theory, first), terms(theory, second))


def covariance_matrix(theory: Theory, first: Estimator, second: Estimator) -> Array:
    """Return Cov(X_p, Y_q) of two samples on the same noise, (P, P)."""
    return _joint_terms(theory, terms(theory, first), terms(theory, second))


def _joint_terms(theory: Theory, one: list[Term], two: list[Term]) -> Array:
    total = np.zeros((theory.parameters,) * 2)
    for c, x, here in one:
        for d, y, there in two:
            if here != there:
                raise NoClosedForm("no closed form is known for covariances of mirrored rollouts between parameters")
            total = total + _matrix(theory, c) @ _joint(theory, x, y) @ _matrix(theory, d).T
    return total


def coefficients(theory: Theory, estimator: estimators.ControlVariate) -> Array:
    """Return the coefficients of least variance of a control variate, (k, P), or (k, P, P) if it is `full`.

    Covariance matrices of controls may be singular: what never varies gets 0.
    """
    target, *controls = (terms(theory, part) for part in estimator.parts)
    theory.together([x for part in (target, *controls) for _, x, _ in part])
    if estimator.full:
        return _full_coefficients(theory, target, controls)
    among = np.array([[_covariance(theory, a, b) for b in controls] for a in controls])  # (k, k, P)
    onto = np.array([_covariance(theory, a, target) for a in controls])  # (k, P)
    found = [_solved(among[:, :, p], onto[:, p]) for p in range(theory.parameters)]
    return np.stack(found, axis=1)


def optimal_over_time(theory: Theory, estimator: Estimator) -> Array:
    """Return b_tp = Cov(g_p, z_tp) / Var z_tp, to be subtracted as sum_t b_t z_t: (T, P)."""
    return ratio(*with_scores(theory, estimator))


def total_optimal_over_time(theory: Theory, estimator: Estimator) -> Array:
    """Return the b_t of least total variance over the parameters `totals`, (T,)."""
    cov, power = (x[:, theory.totals].sum(axis=1) for x in with_scores(theory, estimator))
    return ratio(cov, power)


def total_optimal_constant(theory: Theory, estimator: Estimator) -> float:
    """Return the b of least total variance over the parameters `totals`, a float."""
    Z = _score(theory)
    theory.together([Z, *(x for _, x, _ in terms(theory, estimator))])
    cov = sum((c * theory.covariance(x, Z) for c, x in _single(theory, estimator)), np.zeros(theory.parameters))
    power = theory.covariance(Z, Z)  # scores of different times are uncorrelated
    return float(ratio(*(x[theory.totals].sum() for x in (cov, power))))


def optimal_quadratic(theory: Theory, estimator: Estimator) -> Array:
    """Return the quadratic b_tp(s) = (1, s)^T form_tp (1, s) of least variance for reward to go: (T, P, 1 + n, 1 + n)."""
    if terms_key(theory, estimator) != terms_key(theory, reward_to_go()):
        raise NoClosedForm("the optimal quadratic baseline is known for reward_to_go() alone")
    return theory.quadratic()


def ratio(top: ArrayLike, bottom: ArrayLike) -> Array:
    """Return top / bottom, 0 where a score vanishes and any number will do."""
    return np.divide(top, bottom, out=np.zeros(np.shape(top)), where=np.asarray(bottom) > 0)


TUNING = Tuning(optimal_over_time, total_optimal_over_time, total_optimal_constant, optimal_quadratic)


# ---- samples as terms --------------------------------------------------------------------------------------------


def terms(theory: Theory, estimator: Estimator) -> list[Term]:
    """Return one sample as a list of `Term`, equal leaves added up: what cancels is gone, and with it its rounding."""
    return _merged(theory, _terms(theory, estimator))


def terms_key(theory: Theory, estimator: Estimator) -> Hashable:
    """Return what tells samples apart."""
    return tuple((identity(c), x.key, rollout) for c, x, rollout in terms(theory, estimator))


def _terms(theory: Theory, estimator: Estimator) -> list[Term]:
    def of(part: Estimator) -> list[Term]:
        return terms(theory, part)

    whole = theory.whole(estimator)
    if whole is not None:
        return [Term(1.0, whole)]
    if type(estimator).__module__.partition(".")[0] != __name__.partition(".")[0]:
        raise NoClosedForm(f"no closed form is known for {type(estimator).__name__}, whose functions are your own")
    match estimator:
        case Rule() | Pathwise():
            return [Term(1.0, estimator)]
        case estimators.Difference(parts=(x, y)):
            return of(x) + _times(-1.0, of(y))
        case estimators.ControlVariate(parts=(target, *controls), coefficients=c):
            c = coefficients(theory, estimator) if c is None else np.asarray(c, dtype=float)
            return of(target) + [t for k, h in enumerate(controls) for t in _times(-c[k], of(h))]
        case estimators.InverseVariance(parts=parts, weights=w, shared=shared):
            w = inverse_weights([variance(theory, x) for x in parts], shared) if w is None else w
            return [t for k, x in enumerate(parts) for t in _times(np.asarray(w[k], dtype=float), of(x))]
        case estimators.AlphaOrder(alpha=None):
            raise NoClosedForm("alpha depends on its pilot; an alpha-order gradient with a fixed one has a closed form")
        case estimators.AlphaOrder(parts=(x, y), alpha=(float() | int()) as alpha):
            return _times(alpha, of(x)) + _times(1.0 - alpha, of(y))
        case estimators.Antithetic(parts=(x, _), flip=flip):
            return _times(0.5, of(x) + _flipped(of(x), FLIPS[flip]))
        case estimators.Natural(parts=(x,), fisher=fisher):
            return _times(generalised_inverse(theory.fisher() if fisher is None else np.asarray(fisher)), of(x))
        case estimators.Group(kind="leave one out", size=size):
            return [Term(1.0, GroupOf(size))]
        case estimators.Group(kind="mean", size=size):
            return [Term(1.0 - 1.0 / size, GroupOf(size))]
        case estimators.Group(kind=kind):
            raise NoClosedForm(f"no closed form is known for a {kind} group")
        case estimators.SelfNormalised():
            raise NoClosedForm(
                "self-normalised weights have closed forms for large groups alone: self_normalised_limits"
            )
    found = theory.leaves(estimator) or read(theory, estimator, TUNING)
    if found is not None:
        return [Term(c, x) for c, x in found]
    alone = theory.alone(estimator)
    if alone is not None:
        return [Term(1.0, Opaque(identity(estimator), *alone, type(estimator).__name__))]
    raise NoClosedForm(f"no closed form is known for {type(estimator).__name__} on {theory.name}")


def _times(a: float | Array, many: list[Term]) -> list[Term]:
    return [Term(_product(a, c), x, rollout) for c, x, rollout in many]


def _product(a: float | Array, c: float | Array) -> float | Array:
    """Return the coefficient of a (c X)."""
    if np.ndim(a) == 2:
        return np.matmul(a, c) if np.ndim(c) == 2 else a * c  # columns of a times c_q
    return np.asarray(a)[:, None] * c if np.ndim(a) == 1 and np.ndim(c) == 2 else a * c


def _flipped(many: list[Term], signs: Signs) -> list[Term]:
    """Return terms on rollouts with other signs."""
    return [Term(c, x, tuple(a * b for a, b in zip(rollout, signs, strict=True))) for c, x, rollout in many]


def _merged(theory: Theory, many: list[Term]) -> list[Term]:
    total: dict[Any, tuple[Any, Leaf]] = {}
    for c, x, rollout in many:
        known, _ = total.get((x.key, rollout), (0.0, x))
        total[x.key, rollout] = _sum(known, c), x
    found = [Term(c, x, rollout) for (_, rollout), (c, x) in total.items() if np.any(c)]
    return _folded(theory, found)


def _sum(c: float | Array, d: float | Array) -> float | Array:
    if np.ndim(c) == 2 and np.ndim(d) < 2:
        d = d * np.eye(np.shape(c)[0])
    elif np.ndim(d) == 2 and np.ndim(c) < 2:
        c = c * np.eye(np.shape(d)[0])
    return c + d


def _folded(theory: Theory, found: list[Term]) -> list[Term]:
    """Return terms in which what has no trace of its own is part of what has: baselines, and controls made of scores."""
    out: list[Term] = []
    for term in sorted(found, key=lambda t: isinstance(t.leaf, Rule) and t.leaf.trace is None):
        for k, (c, x, rollout) in enumerate(out):
            if rollout == term.rollout and np.ndim(c) < 2 and np.ndim(term.coefficient) < 2 and np.all(c):
                one = folded(theory, x, term.coefficient / np.asarray(c), term.leaf)
                if one is not None:
                    out[k] = Term(c, one, rollout)
                    break
        else:
            out.append(term)
    return out


# ---- moments of terms --------------------------------------------------------------------------------------------


def _mean(theory: Theory, x: Leaf) -> Array:
    if isinstance(x, Opaque):
        return x.mean()
    return theory.gradient() if isinstance(x, GroupOf) else theory.mean(x)


def _applied(c: float | Array, x: Array) -> Array:
    return c @ x if np.ndim(c) == 2 else c * x


def _matrix(theory: Theory, c: float | Array) -> Array:
    return np.asarray(c) if np.ndim(c) == 2 else c * np.eye(theory.parameters)


def _covariance(theory: Theory, first: list[Term], second: list[Term]) -> Array:
    total, known = np.zeros(theory.parameters), {}
    for c, x, here in first:
        for d, y, there in second:
            signs = tuple(a * b for a, b in zip(here, there, strict=True))
            mixed = np.ndim(c) == 2 or np.ndim(d) == 2
            key = (frozenset((x.key, y.key)), signs) if not mixed else (x.key, y.key, signs, "joint")
            if key not in known:
                known[key] = _joint(theory, x, y, signs) if mixed else _pair(theory, x, y, signs)
            if mixed:
                total = total + np.sum((_matrix(theory, c) @ known[key]) * _matrix(theory, d), axis=1)
            else:
                total = total + c * d * known[key]
    return total


def _pair(theory: Theory, x: Leaf, y: Leaf, signs: Signs) -> Array:
    """Return Cov(X_p, Y_p), Y on a rollout whose noise has other signs than that of X, (P,)."""
    if isinstance(x, GroupOf) or isinstance(y, GroupOf):
        return _with_group(theory, x, y, signs)
    for one, other in ((x, y), (y, x)):
        if isinstance(one, Opaque):
            if one.key == other.key and signs == PLAIN:
                return one.variance()
            raise NoClosedForm(f"no closed form is known for the covariance of {one.name} with others")
    return theory.covariance(x, y) if signs == PLAIN else theory.mirrored(x, y, signs)


def _joint(theory: Theory, x: Leaf, y: Leaf, signs: Signs = PLAIN) -> Array:
    if signs != PLAIN:
        raise NoClosedForm("no closed form is known for covariances of mirrored rollouts between parameters")
    if isinstance(x, (GroupOf, Opaque)) or isinstance(y, (GroupOf, Opaque)):
        raise NoClosedForm("covariances between parameters are known for estimators on a single rollout alone")
    return theory.joint(x, y)


def _with_group(theory: Theory, x: Leaf, y: Leaf, signs: Signs) -> Array:
    """Return the covariance with a group of G trajectories; of a group with itself, its variance.

    A group does not change when J is subtracted from all returns. Then 1/G sum_i R_i Z_i and 1/(G (G - 1)) sum_{i != j} R_j Z_i
    are uncorrelated, and of the products of two terms R_j Z_i only R_j^2 Z_i^2 and R_j Z_j R_i Z_i have a mean. So, for m
    members in common of groups of G and H, and for an X on the plain rollout, that of the first member,

        Cov(group, group) = m / (G H) Var((R - J) Z) + m (m - 1) / (G (G - 1) H (H - 1)) (Var R Var Z + g^2),
        Cov(X, group) = Cov(X, (R - J) Z) / G

    Kool, van Hoof and Welling (2019), Buy 4 REINFORCE samples, get a baseline for free.
    """
    centred = Rule(trace=1.0, whole=True, score=-theory.objective)
    for group, other in ((x, y), (y, x)):
        if isinstance(group, GroupOf) and not isinstance(other, GroupOf):
            return _pair(theory, centred, other, signs) / group.size
    assert isinstance(x, GroupOf) and isinstance(y, GroupOf)
    if signs != PLAIN:
        raise NoClosedForm("no closed form is known for antithetic pairs of groups")
    G, H = x.size, y.size
    m, score = min(G, H), Rule(score=1.0)
    mixed = theory.return_variance * theory.covariance(score, score) + theory.gradient() ** 2
    own = theory.covariance(centred, centred)
    return m / (G * H) * own + m * (m - 1) / (G * (G - 1) * H * (H - 1)) * mixed


# ---- coefficients ------------------------------------------------------------------------------------------------


def _solved(among: Array, onto: Array) -> Array:
    """Return the least-squares solution of a system with a covariance matrix, in units of its diagonal."""
    scale = np.sqrt(np.maximum(np.diag(among), 0.0))
    scale[scale == 0] = 1.0
    solution = np.linalg.lstsq(among / np.outer(scale, scale), (onto.T / scale).T, rcond=1e-12)[0]
    return (solution.T / scale).T


def _full_coefficients(theory: Theory, target: list[Term], controls: list[list[Term]]) -> Array:
    """Return c_kpq: every parameter uses the controls of all parameters."""
    among = np.block([[_joint_terms(theory, x, y) for y in controls] for x in controls])
    onto = np.concatenate([_joint_terms(theory, x, target) for x in controls])  # Cov(h_kq, g_p)
    P = theory.parameters
    return _solved(among, onto).reshape(len(controls), P, P).swapaxes(1, 2)


def with_scores(theory: Theory, estimator: Estimator) -> tuple[Array, Array]:
    """Return Cov(g_p, z_tp) and Var z_tp, (T, P) both."""
    total = np.zeros((theory.horizon, theory.parameters))
    for c, x in _single(theory, estimator):
        total = total + c * theory.by_step(x)
    return total, theory.by_step(_score(theory))


def _score(theory: Theory) -> Leaf:
    return theory.whole(estimators.Score()) or Rule(score=1.0)


def _single(theory: Theory, estimator: Estimator) -> list[tuple[float | Array, Leaf]]:
    """Return [(coefficient, leaf)] of an estimator on the plain rollout."""
    found = terms(theory, estimator)
    if any(rollout != PLAIN or np.ndim(c) == 2 or isinstance(x, (GroupOf, Opaque)) for c, x, rollout in found):
        raise NoClosedForm("optimal baselines are known for combinations of estimators on a single rollout alone")
    return [(c, x) for c, x, _ in found]
