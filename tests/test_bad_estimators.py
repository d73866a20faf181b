"""Baselines, controls and estimators that cannot be made, or not for this problem."""

import math

import numpy as np
import pytest
from refusals import (
    NAN,
    PW,
    SF,
    B,
    E,
    environment,
    eta,
    names,
    once,
    own_policy,
    problem,
    refused,
)

import mcgrad as mg
from mcgrad.baselines.known import Value
from mcgrad.estimators import kinds

BASELINES = [
    (B.value, "baseline: expected a baseline, got function .*; write value"),
    (Value, "baseline: expected a baseline, got type .*; write value"),
    (lambda s: 0.0, "baseline: expected a baseline, got function"),
    ("value", "baseline: expected real numbers, got str 'value'"),
    (PW, "baseline: expected real numbers, got Reparameterization"),
    (np.ones((3, 2)), r"baseline: expected a number or one number for each time step, got shape \(3, 2\)"),
    (NAN, "baseline: expected finite numbers, got float nan"),
    ({"b": 1.0}, "baseline: expected real numbers, got dict"),
]


@pytest.mark.parametrize("kind", [E.score_function, E.reward_to_go])
@pytest.mark.parametrize(("baseline", "message"), BASELINES, ids=names(BASELINES))
def test_baselines(kind, baseline, message):
    refused("^" + message, kind, baseline)


def test_baseline_of_another_length():
    refused(r"^baseline: expected shape \(3,\), got \(4,\)", once, E.reward_to_go([1.0, 2.0, 3.0, 4.0]))


def test_other_baselines():
    refused("^function: expected a function, got float 1.0", B.of_state, 1.0)
    refused("^pilot: expected a whole number >= 16, got 3", B.optimal_constant, 3)
    refused("^pilot: expected a whole number, got float 16.5", B.optimal_constant, 16.5)
    refused("baseline.*: expected one number, got a tuple of 2; write x.0.", once, E.reward_to_go(B.of_state(pair)))
    refused(
        "in needs_k, .*test_bad_estimators.py:.*no parameter 'k'; it has: q",
        once,
        E.reward_to_go(B.of_state(needs_k, q=1)),
    )
    refused(r"baseline: TypeError .*; it is called as baseline\(p, s\)", once, E.reward_to_go(B.of_state(eta)))


def pair(p, s):
    return (s[0], s[1])


def needs_k(p, s):
    return p.k * s[0]


def test_value_baseline_where_no_value_is_known():
    """Four states are too many for a grid, and these are no table and no polynomials."""
    four = environment(
        states=4, init=lambda p, z: (z[0],) * 4, step=lambda p, s, a, w: (*map(math.tanh, s[:3]), s[3] + a[0])
    )
    own = mg.Problem(four, mg.policies.linear_gaussian(4, 1, std=0.3), 3)
    refused("no closed form is known for environment", once, E.reward_to_go(B.value()), own, theta=4 * [0.1])


CONTROLS = [
    (lambda: E.control_variate(PW, []), "controls: expected at least one estimator of zero, got none"),
    (lambda: E.control_variate("PW", E.score()), "estimator: expected an estimator, got str 'PW'"),
    (lambda: E.control_variate(PW, "score"), "controls: expected an estimator, got str"),
    (lambda: E.control_variate(PW, [E.score]), "controls: expected an estimator, got function"),
    (lambda: E.control_variate(PW, 5), "controls: expected an estimator.*, got int 5"),
    (lambda: E.control_variate(PW, None), "controls: expected an estimator.*, got NoneType None"),
    (lambda: E.control_variate(PW, E.score(), "best"), "coefficients: expected real numbers, got str 'best'"),
    (lambda: E.control_variate(PW, E.score(), [1.0]), r"coefficients: expected shape \(1, any\), got \(1,\)"),
    (lambda: E.control_variate(PW, E.score(), [[NAN]]), "coefficients: expected finite numbers"),
    (lambda: E.control_variate(PW, E.score(), [[1, 2]], full=True), r"coefficients: expected shape \(1, any, any\)"),
    (lambda: E.control_variate(PW, E.score(), pilot=3), "pilot: expected a whole number >= 16, got 3"),
    (lambda: E.control_variate(PW, E.score(), pilot="all"), "pilot: expected a whole number, got str 'all'"),
    (
        lambda: E.control_variate(E.mixture(SF, PW), E.score()),
        "estimator: a control variate inside of a control variate",
    ),
    (lambda: E.mixture(PW), "mixture: expected two or more estimators, got one"),
    (lambda: E.mixture(PW, "SF"), "expected an estimator, got str 'SF'"),
    (lambda: E.mixture("PW", SF), "expected an estimator, got str 'PW'"),
    (lambda: E.mixture(PW, SF, pilot=-1), "pilot: expected a whole number >= 16, got -1"),
    (lambda: E.difference(PW, kinds.Score), "expected an estimator, got type"),
    (lambda: E.difference(1.0, PW), "expected an estimator, got float 1.0"),
    (lambda: E.difference(E.mixture(SF, PW), PW), "needs fixed coefficients"),
    (lambda: E.mixture(E.reward_to_go(B.optimal_constant()), PW), "needs fixed coefficients"),
    (lambda: E.custom(None), "step: expected a function, got NoneType None"),
    (lambda: E.custom("step"), "step: expected a function, got str 'step'"),
    (lambda: E.custom(lambda c, x, k: (k, x.score), last=1.0), "last: expected a function, got float 1.0"),
    (lambda: E.custom(lambda c, x, k: (k, x.score), finish="f"), "finish: expected a function, got str 'f'"),
    (lambda: E.custom(lambda c, x, k: (k, x.score), data=[1.0]), "data: expected a dict.*, got list"),
]


@pytest.mark.parametrize(("make", "message"), CONTROLS, ids=[str(i) for i in range(len(CONTROLS))])
def test_making_estimators(make, message):
    refused(message, make)


def test_coefficients_for_another_number_of_parameters():
    refused(
        r"^coefficients: expected shape \(1, 2\), got \(1, 3\)", once, E.control_variate(PW, E.score(), [[1, 2, 3]])
    )


def test_too_few_trajectories_to_fit_coefficients():
    refused("^count: expected at least 32 trajectories for a cross-fitted", once, E.mixture(SF, PW), count=31)
    assert once(E.mixture(SF, PW), count=32).shape == (32, 2)


def scores(c, x, carry):
    return carry, x.score


CUSTOM = [
    (E.custom(lambda c, x, carry: x.score), "step of .*: expected .carry, etabar., got"),
    (E.custom(lambda c, x, carry: None), "step of .*: expected .carry, etabar., got NoneType None"),
    (E.custom(lambda c, x, carry: (carry, 1.0, 2.0)), "step of .*: expected .carry, etabar., got tuple"),
    (E.custom(lambda c, x, carry: ((1.0,), x.score)), "step of .*: .* carry of another shape"),
    (E.custom(lambda c, x, carry: (carry + (0.0,), x.score), last=lambda c, end: (0.0,)), "carry of another shape"),
    (E.custom(lambda c, x, carry: ((carry,), x.score), last=lambda c, end: 0.0), "carry of another shape"),
    (E.custom(lambda c, x, carry: (carry, x.score + (0.0,))), "expected a cotangent of 1 numbers, like eta, got 2"),
    (E.custom(lambda c, x, carry: (carry, ())), "expected a cotangent of 1 numbers, like eta, got 0"),
    (
        E.custom(lambda c, x, carry: (carry, 0.0)),
        "etabar: expected a tuple like eta, or a list of such tuples, got float",
    ),
    (E.custom(lambda c, x, carry: (carry, None)), "etabar: expected a tuple like eta.*got NoneType None"),
    (E.custom(lambda c, x, carry: (carry, "z")), "etabar: expected a tuple like eta.*got str 'z'"),
    (E.custom(lambda c, x, carry: (carry, ("z",))), "etabar of .*: expected a number, got str 'z'"),
    (E.custom(scores, finish=lambda c, sums, carry: sums[:1]), "finish of .*: expected .*numbers"),
    (E.custom(scores, finish=lambda c, sums, carry: sums + (0.0,)), "finish of .*: expected .*numbers"),
    (E.custom(scores, finish=lambda c, sums, carry: None), "finish of .*: expected .*numbers"),
    (E.custom(scores, finish=lambda c, sums, carry: 1.0), "finish of .*: expected .*numbers"),
    (E.custom(scores, finish=lambda c, sums, carry: ("a", "b")), "finish of .*: expected a number, got str 'a'"),
    (E.custom(scores, last=lambda c, end: "carry"), "carry: expected numbers or tuples of numbers, got str 'carry'"),
    (E.custom(scores, last=lambda c, end: 1j), "carry: expected numbers or tuples of numbers, got complex 1j"),
    (E.custom(lambda c, x: (x.score,)), "step of .*: TypeError.*positional argument"),
    (E.custom(scores, last=lambda c: ()), "last of .*: TypeError.*positional argument"),
    (
        E.custom(lambda c, x, carry: (carry, x.nothing)),
        "in <lambda>, .*test_bad_estimators.py:.*no attribute 'nothing'",
    ),
    (
        E.custom(lambda c, x, carry: (carry, (c.b,))),
        "in <lambda>, .*test_bad_estimators.py.*no parameter 'b'; it has: none",
    ),
    (E.custom(lambda c, x, carry: (carry, (c.b,)), data={"a": 1.0}), "no parameter 'b'; it has: a"),
    (E.custom(scores, data={"b": "x"}), "b: expected real numbers, got str 'x'"),
    (E.custom(scores, data={"b": [NAN]}), "b: expected finite numbers"),
    (E.custom(scores, data={"b": E.PerStep([1.0, 2.0])}), r"b: expected data for 4 times \(0 to T\), got 2"),
    (E.custom(scores, data={"b": E.PerStep(1.0)}), r"b: expected data for 4 times \(0 to T\), got"),
    (E.custom(lambda c, x, carry: (carry, (x.s[0] if x.s[0] > 0 else 0.0,))), "where.condition, a, b. instead of `if`"),
]


@pytest.mark.parametrize(("estimator", "message"), CUSTOM, ids=[str(i) for i in range(len(CUSTOM))])
def test_custom_estimators(estimator, message):
    refused(message, once, estimator)


def test_custom_estimators_may_use_math():
    ours = once(E.custom(lambda c, x, carry: (carry, (math.exp(x.s[0]) * x.score[0],))))
    assert ours.shape == (4, 2) and np.isfinite(ours).all()


def test_there_is_no_score_function_without_a_density():
    for estimator in (SF, E.reward_to_go(1.0), E.score(), E.difference(SF, PW), E.custom(scores)):
        refused(
            "no score function here: .*a standard deviation of 0.*reparameterization",
            once,
            estimator,
            problem(std=0.0),
        )
    without = mg.Problem(environment(), own_policy(), 3)
    refused("no score function here: policy has neither `score` nor `log_prob`", once, SF, without)
