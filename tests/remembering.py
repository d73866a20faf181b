"""What tests of kernels that are remembered have in common: small problems, and whether what is found is right."""

import numpy as np
import pytest

import mcgrad as mg
from mcgrad import estimators as E
from mcgrad.kernels import memo
from mcgrad.kernels.program import gradient_program
from mcgrad.prepare import prepare

BOTH = {"SF": E.reward_to_go(), "PW": E.reparameterization()}


@pytest.fixture(autouse=True)
def nothing_remembered():
    memo.forget()


def problem(step=None, reward=None, std=0.3, horizon=3, discount=1.0, **params):
    """Return a small problem, built anew, of functions of one's own."""
    environment = mg.Environment(
        states=1,
        actions=1,
        noises=1,
        initial_noises=1,
        params={"k": 0.9} | params,
        init=lambda p, z: (z[0],),
        step=step or (lambda p, s, a, w: (p.k * s[0] + a[0] + 0.1 * w[0],)),
        reward=reward or (lambda p, s, a, s_next, w: -(s[0] ** 2)),
    )
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=std), horizon, discount)


def fresh(problem, theta, estimators):
    """Return the program of a problem that is traced anew, whatever is remembered."""
    kept = dict(memo._known)
    memo.forget()
    program = gradient_program(problem, theta, estimators)
    memo._known.update(kept)
    return program


def assert_right(problem, theta=(-0.4,), estimators=None):
    """Assert that what is remembered gives the program that tracing anew does; return it."""
    estimators = prepare(estimators or BOTH)
    found, expected = (f(problem, theta, estimators) for f in (gradient_program, fresh))
    assert found.kernel == expected.kernel and found.horizon == expected.horizon and found.data == expected.data
    for name in ("theta", "p", "c", "rows"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    return found
