"""Names are never code, whatever users call their numbers; sizes have limits, and messages that say them."""

import os

import numpy as np
import pytest

import mcgrad as mg
from mcgrad.calls import call
from mcgrad.compiler import backends, trace
from mcgrad.estimators.estimator import Estimator

INJECTIONS = [
    "x]; import os; os.environ['PLANTED'] = '1'; y = c[0",
    "x = __import__('os').environ.__setitem__('PLANTED', '1') or 0",
    "(lambda: __import__('os').environ.__setitem__('PLANTED', '1'))()",
    "x\nimport os\nos.environ['PLANTED'] = '1'\n#",
    "x.y",
    "a b",
    "",
    "1",
    "lambda",
    "None",
    "_owner",
    "__class__",
    "\ufb01t",  # Python reads it as fit
    "x\u2028",
    3,
    None,
]


def problem(params=()):
    environment = mg.Environment(
        states=1,
        actions=1,
        params=dict(params),
        init=lambda p, z: (0.5,),
        step=lambda p, s, a, w: (s[0] + 0.1 * a[0],),
        reward=lambda p, s, a, s_next, w: -(s[0] ** 2),
        name="a point\nimport os\rraise SystemExit \x00 \u2028 \ud800",
    )
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 2)


def step(c, x, carry):
    return carry, tuple(z for z in x.score)


class Own(Estimator):
    """An estimator of a user's own class, whose data no function has checked."""

    def __init__(self, data):
        self.own = data

    def data(self, problem, theta):
        return self.own

    def last(self, c, end):
        return ()

    def step(self, c, x, carry):
        return carry, tuple(z * getattr(c, next(iter(self.own))) for z in x.score)

    def finish(self, c, sums, carry):
        return sums


def doors(name):
    """Return every way in which a name of a user's reaches the text of a kernel."""
    data = {name: 1.0}
    yield lambda: problem(data)
    yield lambda: mg.estimators.custom(step, data=data)
    yield lambda: mg.estimators.custom(step, data={"inner": data})
    if isinstance(name, str):
        yield lambda: mg.baselines.of_state(lambda p, s: s[0], **data)
    yield lambda: mg.sample(problem(), [0.1], {"own": Own(data)}, 4, machine="numpy")
    yield lambda: mg.Policy(1, 1, 0, ("k",), eta=lambda p, th, s: th, sample=lambda p, eta, e: eta, params=data)


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_name_that_is_no_name_is_refused_at_every_door(name, monkeypatch):
    monkeypatch.setenv("PLANTED", "0")
    for door in doors(name):
        with pytest.raises(ValueError, match=r"expected names that can be written as p\.name"):
            door()
    assert os.environ["PLANTED"] == "0"


def test_good_names_come_through_whatever_the_kernel_calls_its_own():
    names = ["where", "exp", "lookup", "theta0", "s0", "z", "to_go", "range", "tuple", "erf", "inf", "größe", "match"]
    found = mg.sample(
        problem(dict.fromkeys(names, 2.0)), [0.1], {"SF": mg.estimators.score_function()}, 8, machine="numpy"
    )
    expected = mg.sample(problem(), [0.1], {"SF": mg.estimators.score_function()}, 8, machine="numpy")
    np.testing.assert_array_equal(found["SF"], expected["SF"])


# ---- sizes -------------------------------------------------------------------------------------------------------

TOO_LARGE = {
    "states": (lambda: mg.Environment(states=10**5, actions=1), "states: expected at most 10000, got 100000"),
    "noises": (lambda: mg.Environment(states=1, actions=1, noises=10**9), "noises: expected at most 10000"),
    "parameters": (lambda: mg.policies.linear_gaussian(5000, 5000, std=1.0), "parameters: expected at most 1000000"),
    "table": (
        lambda: mg.policies.softmax(10**6, 1000),
        "parameters: expected at most 1000000 components of theta, got",
    ),
    "hidden": (lambda: mg.policies.tanh_network(1, 1, hidden=10**7, std=1.0), "hidden: expected at most 10000"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_sizes_have_limits(name):
    build, message = TOO_LARGE[name]
    with pytest.raises(ValueError, match=message):
        build()


def test_a_loop_that_is_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr(trace, "LARGEST", 1000)

    def sums(s):
        x = s[0]
        while True:
            x = x * x + 1.0

    with pytest.raises(mg.TraceError, match=r"(?s)sizes.py:[0-9]+: .*more than 1000 operations: loops are unrolled"):
        call("step of a loop", sums, ((trace.Graph().input("s0"),),), 1)


def test_a_kernel_that_is_too_large_is_not_compiled(monkeypatch):
    monkeypatch.setattr(backends, "LARGEST", 20)
    with pytest.raises(ValueError, match=r"expected at most 20 operations, got [0-9]+, which would take about 0 s"):
        mg.sample(
            problem(), [0.37], {"SF": mg.estimators.score_function(), "PW": mg.estimators.reparameterization()}, 8
        )


def test_the_estimated_size_of_a_kernel_is_about_right():
    text = "def f(a, b):\n    c = a + b * exp(a) - -b\n    return (where(a < b, c, 1e-05), c,)\n"
    assert backends.KernelText(text, (), 1, 1, "a kernel").operations in range(6, 9)
