"""Estimators on a single rollout, read once for all theories: each is a rule of one shape.

    g = sum_t [E_t d_t + z_t f_t(s_t, a_t) + E_a[z_t q_t | s_t] + (da_t/deta)^T dk_t/da_t - n (dQ_t - E_a[dQ_t | s_t])] + c Z

with the score z_t, Z = sum_t z_t, its trace E_t = lam E_{t-1} + z_t, d_t = r_t (discounted, the terminal reward as d_T) or the
temporal-difference error d_t = r_t + v_{t+1}(s_{t+1}) - k_t(s_t, a_t) of a critic, and dQ = dQ/dtheta. The score function adds
the rewards before each score. f, q, k and v are functions of a theory (see `theory`), wrong ones too: then the mean is not the
gradient, and exact all the same. What has no trace of its own can be part of a rule that has (`folded`).
"""

import dataclasses
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..baselines import kinds as baselines
from ..baselines.baseline import Baseline
from ..critics.exact_critic import Exact
from ..estimators import Estimator
from ..estimators import kinds as estimators
from ..rollouts import pilot
from .theory import Array, Leaf, NoClosedForm, Theory


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """The data of the formula above; 0.0 stands for a function that is zero.

    Attributes
    ----------
    trace : float or None
        lam; None: no d_t.
    ahead, known : function, optional
        v_t (that of time t, t < T; at T the terminal reward stands in) and k_t; None: d_t = r_t.
    weight, expected, followed : function
        f, q, and k in the term along the path of a_t.
    news : float
        n.
    score : float or (P,) array
        c.
    whole : bool
        Whether scores multiply the rewards from before them, too.
    only_return : bool
        The return itself, which is no gradient.
    """

    trace: float | None = None
    ahead: Array | None = None
    known: Array | float = 0.0
    weight: Array | float = 0.0
    expected: Array | float = 0.0
    followed: Array | float = 0.0
    news: float = 0.0
    score: Array | float = 0.0
    whole: bool = False
    only_return: bool = False

    @cached_property
    def key(self) -> Hashable:
        """What tells leaves apart."""
        return identity(self)


@dataclasses.dataclass(frozen=True, eq=False)
class Pathwise:
    """The derivative of the return at fixed noise."""

    key = ("pathwise",)


class Tuning(NamedTuple):
    """How baselines of least variance are found: functions of (theory, estimator), which `algebra` brings along."""

    over_time: Callable[[Theory, Estimator], Array]
    total_over_time: Callable[[Theory, Estimator], Array]
    total_constant: Callable[[Theory, Estimator], float]
    quadratic: Callable[[Theory, Estimator], Array]


def _untuned(theory: Theory, estimator: Estimator) -> NoReturn:
    raise NoClosedForm("no closed form is known with an optimal baseline here")


UNTUNED = Tuning(_untuned, _untuned, _untuned, _untuned)


def identity(record: object) -> Hashable:
    """Return a hashable that is equal for records with equal contents."""
    if isinstance(record, np.ndarray):
        return record.shape, record.tobytes()
    if dataclasses.is_dataclass(record):
        return (type(record), *(identity(getattr(record, f.name)) for f in dataclasses.fields(record)))
    if isinstance(record, tuple):
        return tuple(map(identity, record))
    return record if isinstance(record, (int, float, str, type(None))) else ("object", id(record))


KNOWN = (
    estimators.Score,
    estimators.ScoreFunction,
    estimators.RewardToGo,
    estimators.WeightedScore,
    estimators.GeneralizedAdvantage,
    estimators.QFunction,
    estimators.Advantage,
    estimators.AllActions,
    estimators.ValueGradient,
    estimators.ActionControlVariate,
    estimators.TrajectoryControlVariate,
    estimators.DoublyRobust,
    estimators.Delta,
    estimators.Reparameterization,
)


def read(theory: Theory, estimator: Estimator, tuning: Tuning = UNTUNED) -> list[tuple[float, Leaf]] | None:
    """Return an estimator on a single rollout as [(coefficient, leaf)], or None where it is none, or its own function.

    Raises
    ------
    NoClosedForm
        If the theory does not know its baseline or its critic.
    """
    # Of a type derived from these, nothing is known.
    return [(1.0, _leaf(theory, estimator, tuning))] if type(estimator) in KNOWN else None


def _leaf(theory: Theory, estimator: Estimator, tuning: Tuning) -> Leaf:
    match estimator:
        case estimators.Score():
            return Rule(score=1.0)
        case estimators.ScoreFunction(baseline=b) | estimators.RewardToGo(baseline=b):
            whole, number = isinstance(estimator, estimators.ScoreFunction), _number(theory, b, tuning)
            if number is not None:
                return Rule(trace=1.0, whole=whole, score=-number)
            return Rule(trace=1.0, whole=whole, weight=-of_state(theory, b, tuning))
        case estimators.WeightedScore(baseline=b):
            return Rule(weight=for_each_parameter(theory, b, tuning))
        case estimators.GeneralizedAdvantage(critic=v, decay=decay):
            V = of_state(theory, v, tuning)
            return Rule(trace=1.0, weight=-V) if decay == 1.0 else Rule(trace=float(decay), ahead=V, known=V)
        case estimators.QFunction(critic=q):  # which is an Advantage, too
            return Rule(weight=of_action(theory, q))
        case estimators.Advantage(critic=q):
            return Rule(weight=of_action(theory, q) - of_state(theory, q))
        case estimators.AllActions(critic=q):
            return Rule(expected=of_action(theory, q))
        case estimators.ValueGradient(critic=q):
            return Rule(followed=of_action(theory, q))
        case estimators.ActionControlVariate(critic=c, first_order=first_order):
            q = of_action(theory, c)
            q = of_state(theory, c) + theory.tangent(q) if first_order else q
            return Rule(trace=1.0, weight=-q, expected=q)
        case estimators.TrajectoryControlVariate(critic=c) | estimators.DoublyRobust(critic=c):
            q, news = of_action(theory, c), 0.0
            if isinstance(estimator, estimators.DoublyRobust) and isinstance(c, Exact):  # other critics are refused
                news = c.scale
            return Rule(trace=1.0, ahead=of_state(theory, c), known=q, expected=q, news=news)
        case estimators.Delta():
            T = theory.expansion(estimator.order)
            if estimator.pathwise:
                return Rule(followed=T, expected=-T)
            return Rule(weight=T - theory.over_actions(T) if estimator.centred else T, expected=-T)
    return Pathwise()


# ---- baselines and critics ---------------------------------------------------------------------------------------


def _number(theory: Theory, b: Baseline, tuning: Tuning) -> float | None:
    """Return a baseline that is one number, or None for one that is not."""
    match b:
        case baselines.NoBaseline():
            return 0.0
        case baselines.Constant(b=number):
            return float(number)
        case baselines.MeanReturn():
            return theory.objective
        case baselines.TotalOptimal(base=base, target=target, over_time=False):
            number = _number(theory, base, tuning)
            return None if number is None else number + tuning.total_constant(theory, target)
    return None


def of_state(theory: Theory, b: Baseline, tuning: Tuning = UNTUNED) -> Array:
    """Return a baseline as the function of (t, s) that it is."""
    number = _number(theory, b, tuning)
    if number is not None:
        return theory.over_time(number)
    match b:
        case baselines.TimeDependent(b=numbers):
            return theory.over_time(np.asarray(numbers, dtype=float))
        case baselines.MeanToGo():
            return theory.over_time(theory.mean_return_to_go())
        case baselines.TotalOptimal(base=base, target=target, over_time=over_time):
            tuned = tuning.total_over_time if over_time else tuning.total_constant
            return of_state(theory, base, tuning) + theory.over_time(tuned(theory, target))
        case baselines.Value():
            return theory.value_function()
        case Exact(scale=scale, shift=shift, amplitude=amplitude, frequency=frequency):
            V = _scaled(theory, theory.value_function(), scale, shift)
            return V + theory.over_actions(theory.ripples(amplitude, frequency)) if amplitude else V
        case baselines.FittedValue():
            return theory.fitted(b.fitted(theory.problem, pilot(theory.problem, theory.theta, b.pilot, b.seed)))
    raise NoClosedForm(f"no closed form is known with the baseline {type(b).__name__}")


def of_action(theory: Theory, q: Baseline) -> Array:
    """Return a critic as the function of (t, s, a) that it is."""
    if not isinstance(q, Exact):
        raise NoClosedForm(f"no closed form is known with the critic {type(q).__name__}")
    found = _scaled(theory, theory.action_value(), q.scale, q.shift)
    return found + theory.ripples(q.amplitude, q.frequency) if q.amplitude else found


def _scaled(theory: Theory, f: Array, scale: float, shift: float) -> Array:
    return f if (scale, shift) == (1.0, 0.0) else scale * f + theory.over_time(shift)


def for_each_parameter(theory: Theory, b: Baseline, tuning: Tuning) -> Array:
    """Return a baseline that is another one for each parameter, without what it is added to."""
    match b:
        case baselines.OptimalOverTime(target=target):
            return theory.over_time(tuning.over_time(theory, target))
        case baselines.NaiveOptimalOverTime():
            return theory.over_time(theory.naive_over_time())
        case baselines.OptimalQuadratic(target=target):
            return theory.forms(tuning.quadratic(theory, target))
    raise NoClosedForm(f"no closed form is known with the baseline {type(b).__name__}")


def folded(theory: Theory, rule: Leaf, ratio: float | Array, other: Leaf) -> Rule | None:
    """Return rule + ratio * other as one rule, or None if `other` has a trace, or the return itself, of its own."""
    if not (isinstance(rule, Rule) and isinstance(other, Rule)):
        return None
    if other.trace is not None or rule.only_return or other.only_return or (other.news and np.ndim(ratio)):
        return None

    def added(name: str) -> float | Array:
        more = getattr(other, name)
        return getattr(rule, name) + (theory.times(more, ratio) if np.ndim(more) else ratio * more)

    changes: dict[str, Any] = {
        name: added(name) for name in ("weight", "expected", "followed") if np.ndim(getattr(other, name))
    }
    changes["score"] = rule.score + ratio * other.score
    return dataclasses.replace(rule, **changes, news=rule.news + float(ratio) * other.news if other.news else rule.news)
