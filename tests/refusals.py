"""What tests of refusals, and of trajectories that overflow, have in common: small problems, and `refused`."""

import math
import re
import warnings

import numpy as np
import pytest

import mcgrad as mg

E, B = mg.estimators, mg.baselines
NAN, INF = math.nan, math.inf
TWO = np.eye(2)


def lq(**changes):
    return mg.environments.linear_quadratic(**({"A": TWO, "B": [[0.0], [1.0]], "Q": TWO, "R": [[0.1]]} | changes))


def policy(n=2, m=1, **options):
    return mg.policies.linear_gaussian(n, m, **(options or {"std": 0.3}))


def problem(horizon=3, discount=1.0, **options):
    return mg.Problem(lq(), policy(**options), horizon, discount)


THETA = [-0.5, -0.5]
PW = E.reparameterization()
SF = E.score_function()


def refused(message, function, *arguments, **options):
    """Check that a call raises a ValueError with a message that matches, and says something.

    The line of a user's source that a message shows is left out: in a test the expected words may stand there as well.
    """
    with pytest.raises(ValueError) as caught:
        function(*arguments, **options)
    said = re.sub(r"(?m)^(in .*:\d+: ).*$", r"\1", str(caught.value))
    assert re.search(f"(?s){message}", said), f"{message!r} is not in {said!r}"
    assert len(said) > 25


def names(table):
    """Names without addresses in memory: workers that run the tests side by side have to agree on them."""
    return [re.sub(r" at 0x\w+", "", str(x))[:60] for x, _ in table]


def once(estimator, of=None, theta=THETA, count=4):
    """Sample one estimator."""
    return mg.sample(of or problem(), theta, {"mine": estimator}, count, machine="numpy")["mine"]


def init(p, z):
    return (z[0], 1.0)


def step(p, s, a, w):
    return (s[0] + 0.1 * s[1], s[1] + 0.1 * a[0])


def reward(p, s, a, s_next, w):
    return -(s[0] ** 2) - a[0] ** 2


def environment(**changes):
    defaults = {"states": 2, "actions": 1, "initial_noises": 1, "init": init, "step": step, "reward": reward}
    return mg.Environment(**(defaults | changes))


def eta(p, theta, s):
    return (theta[0] * s[0] + theta[1] * s[1],)


def sample(p, eta, e):
    return (eta[0] + 0.3 * e[0],)


def log_prob(p, eta, a):
    return -0.5 * ((a[0] - eta[0]) / 0.3) ** 2


def own_policy(**changes):
    defaults = {"states": 2, "actions": 1, "noises": 1, "parameters": ("a", "b"), "eta": eta, "sample": sample}
    return mg.Policy(**(defaults | changes))


def both(of, theta, count=3000, machine="numpy", **options):
    """Return (moments, samples) of the score function and the pathwise gradient, and check that they agree."""
    estimators = {"SF": SF, "PW": PW, "score": E.score()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = mg.measure(of, theta, estimators, count, 1, machine=machine, chunk=500, progress=False, **options)
        samples = mg.sample(of, theta, estimators, count, 1, machine=machine)
    finite = {name: np.isfinite(x).all(axis=1) for name, x in samples.items()}
    lost = {name: int((~x).sum()) for name, x in finite.items()}
    assert found.nonfinite == lost
    expected = [f"of {count} trajectories some had a gradient that was not finite: "] if any(lost.values()) else []
    expected = [x + ", ".join(f"{k} of {n}" for n, k in lost.items() if k) for x in expected]
    said = [str(w.message) for w in caught]
    assert said[: len(expected)] == expected
    assert ["figures overflow" in x for x in said[len(expected) :]] == (
        [True] if any(found.overflowed.values()) else []
    )
    assert all(w.category is UserWarning for w in caught)
    for name, x in samples.items():
        rest = x[finite[name]]
        assert found[name].count == len(rest) and found[name].nonfinite == lost[name]
        if len(rest) > 1:
            with np.errstate(over="ignore"):
                np.testing.assert_allclose(found[name].mean, rest.mean(axis=0), rtol=1e-10)
                np.testing.assert_allclose(found[name].variance, rest.var(axis=0, ddof=1), rtol=1e-9)
    together = np.all(list(finite.values()), axis=0)
    if together.sum() > 1:
        for a, b in (("SF", "PW"), ("PW", "score")):
            x, y = samples[a][together], samples[b][together]
            with np.errstate(over="ignore"):
                expected = ((x - x.mean(axis=0)) * (y - y.mean(axis=0))).sum(axis=0) / (len(x) - 1)
            np.testing.assert_allclose(found.covariance(a, b), expected, rtol=1e-8)
    return found, samples, lost


def scalar_environment(step=None, reward=None, **changes):
    return mg.Environment(
        states=1,
        actions=1,
        noises=1,
        initial_noises=1,
        init=changes.pop("init", lambda p, z: (z[0],)),
        step=step or (lambda p, s, a, w: (0.5 * s[0] + a[0] + 0.1 * w[0],)),
        reward=reward or (lambda p, s, a, s_next, w: -(s[0] ** 2)),
        **changes,
    )


def scalar_problem(horizon=4, std=0.5, **changes):
    return mg.Problem(scalar_environment(**changes), policy(1, 1, std=std), horizon)
