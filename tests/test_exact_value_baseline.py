"""The exact value function as a baseline where there is no closed form: of one and of two states, and where it is refused."""

import numpy as np
import pytest

import mcgrad as mg
from mcgrad.baselines import chebyshev
from mcgrad.baselines.known import Value
from mcgrad.exact import answers
from mcgrad.exact.recursion import theory

COUNT = 50_000
V, to_go = mg.baselines.value, mg.estimators.reward_to_go


def well():
    policy = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    return mg.Problem(mg.environments.double_well(), policy, horizon=12), [-0.3, 0.5]


def spring():
    """Two states, one of them in a force that is no polynomial."""
    mine = mg.Environment(
        states=2, actions=1, initial_noises=2, noises=1, init=lambda p, z: (z[0], 0.5 * z[1]),
        step=lambda p, s, a, w: (s[0] + 0.2 * s[1], 0.9 * s[1] + 0.2 * (a[0] - np.tanh(s[0])) + 0.1 * w[0]),
        reward=lambda p, s, a, s_next, w: -(s[0] ** 2 + s[1] ** 2),
    )  # fmt: skip
    return mg.Problem(mine, mg.policies.linear_gaussian(2, 1, std=0.3), horizon=6), [-0.5, -0.3]


@pytest.mark.parametrize("make", [well, spring])
def test_the_kernel_has_the_value_of_the_recursion(make):
    """The baseline is subtracted from the return of the last step alone: what is left is known, trajectory by trajectory."""
    problem, theta = make()
    exactly = mg.exact.value(problem, theta)
    found = mg.sample(problem, theta, {"V": to_go(V()), "0": to_go(), "1": to_go(1.0)}, 200, 0, machine="numpy")
    path = mg.rollout(problem, theta, 200, 0, machine="numpy")
    e = (path.actions - _means(problem, theta, path.states[:, :-1])) / _std(problem)
    values = np.stack([exactly(t, path.states[:, t]) for t in range(problem.horizon)], axis=1)
    inside = np.isfinite(values).all(axis=1)
    assert inside.mean() > 0.9
    scores = _features(problem, path.states[:, :-1]) * e / _std(problem)
    np.testing.assert_allclose(
        (found["0"] - found["1"])[inside], scores.sum(axis=1)[inside], atol=1e-10
    )  # they are right
    expected = np.einsum("ntp,nt->np", scores, np.where(np.isfinite(values), values, 0.0))
    scale = np.abs(values[inside]).max()
    np.testing.assert_allclose((found["0"] - found["V"])[inside], expected[inside], atol=2e-2 * scale)


def _features(problem, s):
    return s if problem.environment.states == 2 else np.concatenate([s, np.ones_like(s)], axis=2)


def _means(problem, theta, s):
    return _features(problem, s) @ np.array(theta)[:, None]


def _std(problem):
    return 0.3 if problem.environment.states == 2 else 0.5


def test_it_is_unbiased_has_its_exact_variance_and_is_found_once(monkeypatch):
    problem, theta = well()
    made = []
    honest = theory.value_within
    monkeypatch.setattr(theory, "value_within", lambda *x, **y: made.append(x) or honest(*x, **y))
    chosen = {"V": to_go(V()), "0": to_go()}
    exactly = {name: mg.exact.moments(problem, theta, {"x": e}, tolerance=1e-3)["x"] for name, e in chosen.items()}
    np.testing.assert_allclose(exactly["V"].mean, exactly["0"].mean, rtol=1e-4)
    assert np.all(exactly["V"].variance < 0.1 * exactly["0"].variance)
    measured = mg.measure(problem, theta, chosen, COUNT, progress=False, machine="numpy")
    for name, x in exactly.items():
        assert np.all(np.abs(measured[name].variance - x.variance) < 5 * measured[name].variance_stderr)
    assert len(made) == 1
    mg.sample(problem, np.array(theta) + 0.1, {"V": to_go(V())}, 4, 0, machine="numpy")
    assert len(made) == 2


def test_what_is_no_polynomial_is_refused(monkeypatch):
    problem, theta = well()
    monkeypatch.setitem(chebyshev.DEGREES, 1, 2)
    with pytest.raises(ValueError, match="off a polynomial of degree 2; fit them instead"):
        mg.sample(problem, theta, {"V": to_go(V())}, 4, 0, machine="numpy")
    three = mg.Environment(
        states=3, actions=1, initial_noises=3, init=lambda p, z: z, step=lambda p, s, a, w: tuple(np.sin(x) + a[0] for x in s),
        reward=lambda p, s, a, s_next, w: -(s[0] ** 2),
    )  # fmt: skip
    with pytest.raises(ValueError, match="no convergence|within work"):
        problem = mg.Problem(three, mg.policies.linear_gaussian(3, 1, std=0.3), horizon=2)
        mg.sample(problem, np.zeros(3), {"V": to_go(Value(answers.truth_within(0.01)))}, 4, 0, machine="numpy")
