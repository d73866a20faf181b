"""What users write: functions that return, take or do the wrong thing are refused with their own line."""

import math
import warnings

import numpy as np
import pytest
from refusals import (
    PW,
    SF,
    THETA,
    TWO,
    E,
    environment,
    log_prob,
    once,
    own_policy,
    policy,
    refused,
)

import mcgrad as mg


def rollout_of(**changes):
    own = environment(**({"params": {"g": 9.8, "M": TWO}, "noises": 1} | changes))
    return mg.rollout(mg.Problem(own, policy(), 3), THETA, 4, machine="numpy")


RESULTS = [
    ("init", lambda p, z: [1.0, 2.0], "expected a tuple of 2 numbers, got a list of 2; write `return .x, y"),
    ("init", lambda p, z: (1.0,), "expected a tuple of 2 numbers, got 1 of them"),
    ("init", lambda p, z: 1.0, r"expected a tuple of 2 numbers, got float 1.0; write `return \(x,\)`"),
    ("init", lambda p, z: None, r"expected a tuple of 2 numbers, got None \(is there a `return`\?\)"),
    ("init", lambda p, z: "ab", "expected a tuple of 2 numbers, got str 'ab'"),
    ("init", lambda p, z: ("a", "b"), "expected numbers, got str 'a' as number 0 of its result"),
    ("init", lambda p, z: (1.0, 1j), "expected numbers, got complex 1j as number 1 of its result"),
    ("init", lambda p, z: (1.0, None), "expected numbers, got None .* as number 1 of its result"),
    ("init", lambda p, z: {1.0, 2.0}, "expected a tuple of 2 numbers, got set"),
    ("init", lambda p, z: (x for x in z), "expected a tuple of 2 numbers, got generator"),
    ("step", lambda p, s, a, w: ((s[0], s[1]),), "expected a tuple of 2 numbers, got 1 of them"),
    ("step", lambda p, s, a, w: (s, s), "expected numbers, got a tuple of 2 as number 0 of its result"),
    ("step", lambda p, s, a, w: s + a, "expected a tuple of 2 numbers, got 3 of them"),
    ("step", lambda p, s, a, w: 2 * s, "expected a tuple of 2 numbers, got 4 of them"),
    ("step", lambda p, s, a, w: np.outer(s, s), r"expected a tuple of 2 numbers, got an array of shape \(2, 2\)"),
    (
        "step",
        lambda p, s, a, w: (s[0], np.array([s[1]])),
        r"expected numbers, got an array of shape \(1,\) as number 1",
    ),
    ("step", lambda p, s, a, w: s[0], r"expected a tuple of 2 numbers, got Tracer .*; write `return \(x,\)`"),
    ("reward", lambda p, s, a, s_next, w: (s[0],), r"expected one number, got a tuple of 1; write x\[0\] instead of x"),
    ("reward", lambda p, s, a, s_next, w: p.M @ s, r"expected one number, got an array of shape \(2,\)"),
    ("reward", lambda p, s, a, s_next, w: None, r"expected one number, got None \(is there a `return`\?\)"),
    ("reward", lambda p, s, a, s_next, w: "r", "expected one number, got str 'r'"),
    ("reward", lambda p, s, a, s_next, w: 1j, "expected one number, got complex 1j"),
    ("terminal", lambda p, s: s, r"expected one number, got a tuple of 2; write x\[0\] instead of x"),
]


@pytest.mark.parametrize(("name", "function", "message"), RESULTS, ids=[str(i) for i in range(len(RESULTS))])
def test_results_of_a_users_functions(name, function, message):
    refused(
        rf"^{name} of environment \(<lambda>, .*test_bad_functions.py:[0-9]+\): {message}",
        rollout_of,
        **{name: function},
    )


ARGUMENTS = [
    ("init", lambda z: (1.0, 2.0), r"it is called as init\(p, z\)"),
    ("step", lambda s, a, w: s, r"it is called as step\(p, s, a, w\)"),
    (
        "step",
        lambda p, s, a, w, t: s,
        r"missing 1 required positional argument: 't'; it is called as step\(p, s, a, w\)",
    ),
    (
        "reward",
        lambda p, s, a: 0.0,
        r"takes 3 positional .* 5 were given; it is called as reward\(p, s, a, s_next, w\)",
    ),
    ("terminal", lambda s: 0.0, r"it is called as terminal\(p, s\)"),
]


@pytest.mark.parametrize(("name", "function", "message"), ARGUMENTS, ids=[str(i) for i in range(len(ARGUMENTS))])
def test_arguments_of_a_users_functions(name, function, message):
    refused(f"^{name} of environment: TypeError while tracing it: .*{message}", rollout_of, **{name: function})


def uses_if(p, s, a, w):
    if s[0] > 0:
        return s
    return (-s[0], s[1])


def fills_a_float_array(p, s, a, w):
    out = np.zeros(2)
    out[0] = s[0]
    return tuple(out)


def asserts(p, s, a, w):
    assert s[0] < 100
    return s


def changes_a_state(p, s, a, w):
    s[0] = 1.0
    return s


def changes_a_parameter(p, s, a, w):
    p.g = 5.0
    return s


def changes_a_matrix(p, s, a, w):
    p.M[0, 0] = s[0]
    return p.M @ s


def wrong_name(p, s, a, w):
    return (s[0], undefined_name)  # noqa: F821


BODIES = [
    (uses_if, "Write where.condition, a, b. instead of `if`"),
    (fills_a_float_array, "build a tuple or a list instead of filling an array"),
    (asserts, "`assert` cannot depend on it"),
    (changes_a_state, "'tuple' object does not support item assignment"),
    (changes_a_parameter, "the parameters of environment cannot be changed: p.g"),
    (changes_a_matrix, "assignment destination is read-only"),
    (wrong_name, "NameError while tracing it: name 'undefined_name' is not defined"),
    (lambda p, s, a, w: (s[0] and s[1], s[1]), "& | ~ instead of and, or, not"),
    (lambda p, s, a, w: (sum(s[0] for _ in range(int(s[0]))), s[1]), "no integer value yet"),
    (lambda p, s, a, w: (float(s[0]), s[1]), "no numerical value yet"),
    (lambda p, s, a, w: (math.gamma(s[0]), s[1]), "math.gamma cannot be traced. What can: arithmetic"),
    (lambda p, s, a, w: np.linalg.inv(np.outer(s, s)) @ s, "UFuncTypeError while tracing it: .*what can be traced"),
    (lambda p, s, a, w: (s[s[0]], s[1]), "no integer value yet"),
    (lambda p, s, a, w: (s[5], s[1]), "step of environment: IndexError while tracing it: tuple index out of range"),
    (lambda p, s, a, w: (p.M[5, 0], s[1]), "IndexError while tracing it: index 5 is out of bounds"),
    (lambda p, s, a, w: (p.h * s[0], s[1]), "environment has no parameter 'h'; it has: g, M"),
    (lambda p, s, a, w: (p["g"] * s[0], s[1]), "TypeError while tracing it: 'Named' object is not subscriptable"),
    (lambda p, s, a, w: (s[0] / (1 - 1), s[1] / 0), "division by the constant 0"),
    (lambda p, s, a, w: (1 / 0, s[1]), "ZeroDivisionError while tracing it"),
    (lambda p, s, a, w: (s[0] + "a", s[1]), "TypeError while tracing it: unsupported operand"),
    (lambda p, s, a, w: -s, "TypeError while tracing it: bad operand type for unary -: 'tuple'"),
    (lambda p, s, a, w: s @ s, "TypeError while tracing it: unsupported operand type.* for @"),
    (lambda p, s, a, w: np.ones((3, 3)) @ s, "ValueError while tracing it: matmul"),
    (lambda p, s, a, w: (s[0] + np.random.normal(), s[1]), "Use the standard normals that it is given"),  # noqa: NPY002
    (lambda p, s, a, w: (w[1], s[1]), "IndexError while tracing it: tuple index out of range"),
    (lambda p, s, a, w: (s.x, s[1]), "AttributeError while tracing it: 'tuple' object has no attribute 'x'"),
    (lambda p, s, a, w: (s[0] * 10**400, s[1]), "OverflowError while tracing it: int too large"),
    (lambda p, s, a, w: s[0].copy(), "AttributeError while tracing it: 'float' object has no attribute 'copy'"),
]


@pytest.mark.parametrize(("function", "message"), BODIES, ids=[str(i) for i in range(len(BODIES))])
def test_bodies_of_a_users_functions(function, message):
    refused(f"^in {function.__name__}, .*test_bad_functions.py:[0-9]+: .*{message}", rollout_of, step=function)


OWN_POLICIES = [
    (
        {"eta": lambda p, theta, s: [s[0]]},
        r"^eta of policy \(<lambda>, .*\): expected a tuple of numbers, got a list of 1",
    ),
    ({"eta": lambda p, theta, s: s[0]}, r"^eta of policy \(.*\): expected a tuple of numbers, got Tracer"),
    ({"eta": lambda p, theta, s: (None,)}, r"^eta of policy \(.*\): expected numbers, got None"),
    ({"eta": lambda theta, s: (s[0],)}, r"^eta of policy: TypeError .*; it is called as eta\(p, theta, s\)"),
    ({"eta": lambda p, theta, s: (theta[2],)}, "^in <lambda>, .*eta of policy: IndexError"),
    ({"eta": lambda p, theta, s: (p.k,)}, "^in <lambda>, .*policy has no parameter 'k'; it has: none"),
    ({"sample": lambda p, eta, e: (eta[0], e[0])}, r"^sample of policy \(.*\): expected a tuple of 1 numbers, got 2"),
    ({"sample": lambda p, eta, e: eta[0]}, r"^sample of policy \(.*\): expected a tuple of 1 .* write `return \(x,\)`"),
    ({"sample": lambda eta, e: eta}, r"^sample of policy: TypeError .*; it is called as sample\(p, eta, e\)"),
    ({"score": lambda p, eta, a, e: (e[0], e[0])}, r"^score of policy \(.*\): expected a tuple of 1 numbers, got 2"),
    ({"score": lambda p, eta, a: e}, r"^score of policy: TypeError .*; it is called as score\(p, eta, a, e\)"),  # noqa: F821
    ({"log_prob": lambda p, eta, a: a}, r"^log_prob of policy \(.*\): expected one number, got a tuple of 1"),
    ({"log_prob": lambda p, eta: 0.0}, r"^log_prob of policy: TypeError .*; it is called as log_prob\(p, eta, a\)"),
]


@pytest.mark.parametrize(("changes", "message"), OWN_POLICIES, ids=[str(i) for i in range(len(OWN_POLICIES))])
def test_policies_of_users(changes, message):
    own = mg.Problem(environment(), own_policy(**({"log_prob": log_prob} | changes)), 3)
    refused(message, once, SF, own)


def test_what_is_unusual_but_right():
    """Integers, booleans, NumPy's numbers, 0-d arrays and arrays as results; callables that are no functions."""

    class Reward:
        def __call__(self, p, s, a, s_next, w):
            return np.array(s[0] > 0) * 1

    out = rollout_of(
        init=lambda p, z: (0, True), step=lambda p, s, a, w: np.array([s[0] + 1, np.int64(3)]), reward=Reward()
    )
    np.testing.assert_array_equal(out.states[0], [[0, 1], [1, 3], [2, 3], [3, 3]])
    np.testing.assert_array_equal(out.rewards[0], [0, 1, 1])


RESERVED = ("s0", "z0", "e0", "w0", "v0", "theta0", "carry0", "theta", "p", "c", "row", "s", "kept", "carry", "weight")
RESERVED += ("sin", "where", "exp", "inf", "nan", "take", "s0_next", "x_0")


@pytest.mark.parametrize("name", RESERVED)
def test_parameters_may_have_any_name(name):
    """A parameter called s0, or exp, does not get mixed up with what a kernel calls so."""

    def sin_of(p, s, a, w):
        v = s[1] + 0.1 * getattr(p, name) * math.sin(s[0]) + math.exp(-(s[0] ** 2)) + p.x[0] * w[0]
        return (s[0] + 0.1 * v, np.where(v > 0, v, 0.5 * v) + a[0])

    def of(k):
        own = environment(step=sin_of, noises=1, params={k: 2.5, "x": [0.3]} if k == name else {name: 2.5, "x": [0.3]})
        return mg.Problem(own, policy(), 3, 0.9)

    def plain_step(p, s, a, w):
        v = s[1] + 0.1 * p.constant * math.sin(s[0]) + math.exp(-(s[0] ** 2)) + 0.3 * w[0]
        return (s[0] + 0.1 * v, np.where(v > 0, v, 0.5 * v) + a[0])

    plain = mg.Problem(environment(step=plain_step, noises=1, params={"constant": 2.5}), policy(), 3, 0.9)
    for estimator in (PW, E.reward_to_go()):
        np.testing.assert_allclose(once(estimator, of(name)), once(estimator, plain), rtol=1e-13)


@pytest.mark.parametrize("name", [r"$\sigma$", r"\N \u \x", 'a"""b', "two\nlines", "ends in \\", "a'b", "", "é {x} %s"])
def test_estimators_and_environments_may_have_any_name(name):
    own = mg.Problem(environment(name=name), own_policy(name=name), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mg.sample(own, THETA, {name: PW}, 4, machine="numpy")
        mg.rollout(own, THETA, 4, machine="numpy")
    assert list(found) == [name] and np.isfinite(found[name]).all()
