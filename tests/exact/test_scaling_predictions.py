"""Predicted exponents against slopes of exact variances, for every estimator, on systems of many kinds."""

from dataclasses import replace

import numpy as np
import pytest
from exact_cases import canonical, random_system
from lq_leaves import System, scaling, theory_of

from mcgrad import baselines as B
from mcgrad import estimators as E
from mcgrad.estimators import kinds
from mcgrad.exact import NoClosedForm, algebra

LEVEL = E.score_function(B.mean_return())
MAKE = {
    "SF": E.score_function(),
    "SF number": E.score_function(3.0),
    "SF mean": LEVEL,
    "SF best": kinds.ControlVariate((E.score_function(), E.score())),
    "to go": E.reward_to_go(),
    "to go number": E.reward_to_go(3.0),
    "to go level": E.reward_to_go(B.mean_return()),
    "to go best level": kinds.ControlVariate((E.reward_to_go(), E.score())),
    "to go mean": E.reward_to_go(B.mean_to_go()),
    "to go best": E.reward_to_go(B.optimal_over_time()),
    "to go value": E.reward_to_go(B.value()),
    "gae 0": E.generalized_advantage(0.0),
    "gae .5": E.generalized_advantage(0.5),
    "gae 1": E.generalized_advantage(1.0),
    "A": E.advantage(),
    "Q": E.q_function(),
    "qcv": E.action_control_variate(),
    "qprop": E.action_control_variate(first_order=True),
    "all": E.all_actions(),
    "svg0": E.value_gradient(),
    "pw": E.reparameterization(),
    "score": E.score(),
}


def scalar(T, **changes):
    return canonical(T, **{"learn_scale": True, **changes})


def random(**changes):
    return random_system(1, 3, 2, 4, **changes)


def poles(values, *, start=1.0, **changes):
    """Three states, two actions, given closed-loop poles, correlated with each other."""
    rng, eye = np.random.default_rng(2), np.eye(3)
    X, B, K = rng.normal(size=(3, 3)), rng.normal(size=(3, 2)), 0.2 * rng.normal(size=(2, 3))
    closed = X @ np.diag(values) @ np.linalg.inv(X)
    costs = dict(Q=eye, R=0.1 * np.eye(2), Qf=eye, W=0.1 * eye, L=0.3 * np.eye(2))
    rest = dict(mean=start * np.ones(3), cov=start * eye, horizon=3, learn_scale=True)
    return System(closed - B @ K, B, K, **{**costs, **rest, **changes})


def rotation(radius):
    """A complex pair of poles."""
    c, s, eye = radius * np.cos(0.7), radius * np.sin(0.7), np.eye(2)
    arrays = dict(A=[[c, -s], [s, c]], B=[[1.0], [0.3]], K=[[0.0, 0.0]], L=[[0.3]], Q=eye, R=[[0.1]], Qf=eye)
    return System(**arrays, W=0.1 * eye, mean=[1.0, 1.0], cov=eye, horizon=3, learn_scale=True)


def sums(systems, make):
    """The variances summed over the entries of K and over the log scales, on each system: two arrays."""
    parts = [slice(0, systems[0].K.size), slice(systems[0].K.size, None)]
    found = [algebra.variance(theory_of(system), make) for system in systems]
    return [np.array([v[part].sum() for v in found]) for part in parts]


NONE = np.zeros((3, 3))
QUIET = {
    "process noise and a random start": scalar(4),
    "no process noise": scalar(4, W=0.0),
    "process noise alone": scalar(4, cov=0.0),
    "a given start": scalar(4, W=0.0, cov=0.0, mean=1.0),
    "nothing but exploration": scalar(4, W=0.0, cov=0.0),
    "process noise that no reward sees": scalar(1),
    "one step from a given start": scalar(1, cov=0.0, mean=1.0),
    "two steps": scalar(2),
    "two steps from a given start": scalar(2, cov=0.0, mean=1.0),
    "correlated": random(),
    "correlated, no process noise": random(W=NONE),
    "correlated, a given start": random(W=NONE, cov=NONE),
    "correlated, nothing but exploration": random(W=NONE, cov=NONE, mean=np.zeros(3)),
    "process noise of rank one": random(W=np.diag([0.0, 1.0, 0.0]), cov=NONE, discount=1.0),
}


@pytest.mark.parametrize("name", QUIET)
def test_exploration(name):
    system, wrong = QUIET[name], []
    ends = [replace(system, L=c * system.L) for c in (1e-4, 1e-5)]
    for key, make in MAKE.items():
        for parameters, found in zip(("gain", "scale"), sums(ends, make), strict=True):
            predicted = scaling(system, make, parameters).std
            if found[1] == 0:
                fine = predicted.power is None and "zero" in predicted.reason
            else:
                slope = np.log10(found[0] / found[1])
                fine = predicted.power is not None and abs(predicted.power - slope) < 0.02
            wrong += [] if fine else [(key, parameters, predicted, found)]
    assert not wrong


def test_exploration_published():
    """Constants removed: -2; the value baseline: -2 with process noise, 0 without; exact critics, derivatives: 0."""
    with_noise, without = scalar(4), scalar(4, W=0.0)
    for system, errors in ((with_noise, -2), (without, 0)):
        found = {key: scaling(system, make).std.power for key, make in MAKE.items()}
        truth = dict.fromkeys(MAKE, -2.0) | dict.fromkeys(["A", "all", "svg0", "pw"], 0.0)
        assert found == truth | dict.fromkeys(["to go value", "gae 0", "gae .5", "gae 1", "qcv", "qprop"], errors)


LONG = {  # system, first of three horizons T, 2T, 4T
    "pole .5": (scalar(3, K=-0.8), 100),
    "pole .5, exploration alone": (scalar(3, K=-0.8, W=0.0, cov=0.0), 100),
    "pole .5, discount": (scalar(3, K=-0.8, discount=0.9), 100),
    "pole 1": (scalar(3, K=0.2), 100),
    "pole 1, no process noise": (scalar(3, K=0.2, W=0.0), 100),
    "pole 1.2": (scalar(3, K=0.6), 100),
    "pole -1.2": (scalar(3, K=-4.2), 100),
    "three stable": (poles([0.6, -0.5, 0.3]), 60),
    "three critical": (poles([1.0, -0.6, 0.4]), 60),
    "three unstable": (poles([1.4, -0.6, 0.4]), 60),
    "two unstable": (poles([1.4, -1.4, 0.4]), 60),
    "rotation .7": (rotation(0.7), 60),
    "rotation 1": (rotation(1.0), 120),
    "rotation 1.3": (rotation(1.3), 60),
}


@pytest.mark.parametrize("name", LONG)
def test_horizon(name):
    """Powers are whole numbers; what is left of the corrections, of order 1 / T^2, is below .2."""
    system, first = LONG[name]
    system = replace(system, Qf=0 * system.Qf)
    rho, wrong = np.abs(np.linalg.eigvals(system.closed)).max(), []
    several = [replace(system, horizon=T) for T in (first, 2 * first, 4 * first)]
    for key, make in MAKE.items():
        for parameters, found in zip(("gain", "scale"), sums(several, make), strict=True):
            predicted = scaling(system, make, parameters).horizon
            if found[0] == 0:
                fine = predicted.power is None and "zero" in predicted.reason
            else:
                grown = [predicted.rate * s.horizon * np.log(rho) for s in several]
                near, far = np.diff(np.log(found) - grown) / np.log(2)
                power = 2 * far - near  # without corrections of order 1 / T
                fine = predicted.power is not None and abs(predicted.power - power) < 0.2
                found = near, far, power
            wrong += [] if fine else [(key, parameters, predicted, found)]
    assert not wrong


def test_horizon_published():
    for pole, truth in ((0.5, (3, 3, 2, 2, 1, 1)), (1.0, (6,) * 6), (1.2, (0, 0, 0, 2, 2, 2))):
        system = scalar(3, K=(pole - 0.9) / 0.5)
        keys = ["SF", "to go", "SF best", "to go value", "gae .5", "pw"]
        found = [scaling(system, MAKE[key]).horizon for key in keys]
        assert tuple(x.power for x in found) == truth
        assert [x.rate for x in found] == ([6, 6, 6, 4, 4, 4] if pole > 1 else [0] * 6)


def test_baselines_are_recognised():
    """One b for all parameters counts like one for each."""
    system = scalar(5)
    for b in (B.total_optimal_constant(), B.optimal_over_time(), B.total_optimal_over_time()):
        assert scaling(system, E.reward_to_go(b)).horizon.power in (2, 3)
    assert scaling(system, E.score_function(B.total_optimal_constant())).horizon.power == 2
    for b in (B.optimal_over_time(), B.total_optimal_over_time()):
        assert scaling(system, E.reward_to_go(b)).horizon.power == 2


def test_what_is_not_predicted():
    system, best = random(W=NONE), E.reward_to_go(B.optimal_quadratic())
    assert scaling(system, best).std.power is None and scaling(system, best).horizon.power is None
    assert scaling(random(), best).std.power == -2
    in_time = E.reward_to_go([1.0, 2.0, 3.0])
    assert scaling(scalar(3), in_time).horizon.power is None and scaling(scalar(3), in_time).std.power == -2
    with pytest.raises(NoClosedForm, match="combinations"):
        scaling(scalar(3), E.mixture(E.score_function(), E.reparameterization()))
    X = E.reparameterization()
    refused = {
        "Jordan": System([[1.0, 1], [0, 1]], [[0.0], [1]], [[0.0, 0]], [[1.0]], *_more(2)),
        "no action": System(np.diag([1.2, 0.5]), [[0.0], [1]], [[0.0, 0]], [[1.0]], *_more(2)),
        "no cost": System(np.diag([1.2, 0.5]), [[1.0], [1]], [[0.0, 0]], [[1.0]], np.diag([0.0, 1]), *_more(2)[1:]),
        "no noise": poles([1.0, 0.5, 0.4], W=NONE, L=np.zeros((2, 2))),
        "spectral radius below 1": scalar(3, K=0.6, discount=0.9),
        "costs but at the end": scalar(3).__class__(*_stripped()),
    }
    for word, other in refused.items():
        found = scaling(other, X).horizon
        assert found.power is None and word in found.reason
    assert scaling(poles([0.5, 0.4, 0.3], W=NONE, L=np.zeros((2, 2))), X).horizon.power == 0
    with pytest.raises(ValueError, match="parameters"):
        scaling(system, X, "all")


def _more(n):
    eye = np.eye(n)
    return eye, [[0.1]], eye, eye, np.zeros(n), eye, 3


def _stripped():
    s = scalar(3)
    return s.A, s.B, s.K, s.L, 0 * s.Q, 0 * s.R, s.Q, s.W, s.mean, s.cov, 3
