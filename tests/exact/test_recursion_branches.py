"""Moments by the recursion of estimators whose rollouts branch off: closed forms, plain quadrature, measurement, refusals."""

import itertools

import numpy as np
import pytest
from support import stopped

import mcgrad as mg
from mcgrad.exact.recursion import laws
from mcgrad.exact.recursion.branched_stage import BranchedStage

e, mvd = mg.estimators, mg.estimators.measure_valued
KINDS = {
    "all": mvd(),
    "all apart": mvd("independent"),
    "one": mvd(times="one"),
    "one apart": mvd("independent", "one"),
    "critic": mvd(critic=mg.critics.exact()),
}


def linear(learn_std=False, horizon=2):
    lq = mg.environments.linear_quadratic(
        [[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]], initial_cov=[[0.04]]
    )
    policy = mg.policies.linear_gaussian(1, 1, std=0.5, learn_std=learn_std)
    return mg.Problem(lq, policy, horizon=horizon, discount=0.9), [-0.6, np.log(0.5)][: 1 + learn_std]


def smooth(horizon=2):
    """A user's own: no closed form, and no noise but that of the actions."""

    def step(p, s, a, w):
        return (s[0] + 0.4 * np.sin(2.0 * s[0]) + 0.5 * a[0],)

    def reward(p, s, a, s_next, w):
        return np.cos(s_next[0]) - 0.1 * a[0] ** 2

    mine = mg.Environment(states=1, actions=1, step=step, reward=reward, init=lambda p, z: (0.3,), name="smooth")
    return mg.Problem(mine, mg.policies.linear_gaussian(1, 1, std=0.7), horizon=horizon, discount=0.9), [-0.4]


@pytest.mark.parametrize("name", KINDS)
def test_closed_forms_of_linear_quadratic_problems(name):
    problem, theta = linear()
    found = mg.exact.moments(problem, theta, {"x": KINDS[name]}, tolerance=1e-4)
    assert found.space.startswith("polynomials" if name == "critic" else "a grid")
    np.testing.assert_allclose(found["x"].mean, mg.exact.mean(problem, theta, KINDS[name], work=0), rtol=1e-5)
    np.testing.assert_allclose(found["x"].variance, mg.exact.variance(problem, theta, KINDS[name], work=0), rtol=1e-5)


@pytest.mark.parametrize("name", ["all apart", "critic"])
def test_closed_forms_with_learned_scales(name):
    problem, theta = linear(learn_std=True)
    found = mg.exact.moments(problem, theta, {"x": KINDS[name]}, tolerance=1e-4)["x"]
    np.testing.assert_allclose(found.mean, mg.exact.mean(problem, theta, KINDS[name], work=0), rtol=1e-5)
    np.testing.assert_allclose(found.variance, mg.exact.variance(problem, theta, KINDS[name], work=0), rtol=1e-5)


def test_one_step_costs_with_learned_scales():
    """Mohamed et al.'s bandit; theta holds the std itself."""
    problem, theta = mg.Problem(mg.environments.cosine_cost(0.5), mg.policies.gaussian(1), 1), [1.0, 1.3]
    found = mg.exact.moments(problem, theta, {"x": mvd()}, tolerance=1e-3)["x"]
    np.testing.assert_allclose(found.mean, mg.exact.gradient(problem, theta), rtol=1e-3)
    np.testing.assert_allclose(found.variance, mg.exact.variance(problem, theta, mvd(), work=0), rtol=1e-3)


def by_quadrature(std=0.7, gain=-0.4, discount=0.9):
    """Mean and covariance of branches at all times on common noise, and of the reward to go, over two steps, in plain NumPy."""
    x, w = np.polynomial.hermite_e.hermegauss(16)
    w = w / w.sum()
    y, v = np.polynomial.legendre.leggauss(40)
    W = 4.0 * (1 + y)
    v = 4.0 * v * W * np.exp(-W * W / 2)

    def walk(s, e, t):
        """Return what is paid from time t on, and the states."""
        total, states = 0.0, [s]
        for k in range(t, 2):
            a = gain * s + std * e[k]
            s = s + 0.4 * np.sin(2.0 * s) + 0.5 * a
            total, states = total + discount**k * (np.cos(s) - 0.1 * a**2), [*states, s]
        return total, states

    axes = np.meshgrid(x, x, W, W, indexing="ij")
    weights = np.einsum("a,b,c,d->abcd", w, w, v, v)
    e0, e1, W0, W1 = axes
    start = np.full_like(e0, 0.3)
    whole, states = walk(start, (e0, e1), 0)
    to_go = walk(states[1], (e0, e1), 1)[0]
    g = sum(
        s * (walk(s, plus, t)[0] - walk(s, minus, t)[0]) / (std * np.sqrt(2 * np.pi))
        for t, s, plus, minus in ((0, start, (W0, e1), (-W0, e1)), (1, states[1], (e0, W1), (e0, -W1)))
    )
    score = (start * e0 * whole + states[1] * e1 * to_go) / std
    mean = [np.sum(weights * z) for z in (g, score)]
    apart = [z - m for z, m in zip((g, score), mean, strict=True)]
    return np.array(mean), np.array([[np.sum(weights * y * z) for y in apart] for z in apart])


def test_common_branches_by_plain_quadrature(monkeypatch):
    """A witness that shares neither graphs nor estimators; with a tenth less of what two rollouts share it is missed by far."""
    problem, theta = smooth()
    mean, covariance = by_quadrature()
    chosen = {"mvd": mvd(), "to go": e.reward_to_go()}
    found = mg.exact.moments(problem, theta, chosen, tolerance=1e-4)
    np.testing.assert_allclose(found.mean[:, 0], mean, rtol=1e-5)
    np.testing.assert_allclose(found.covariances[..., 0], covariance, rtol=1e-4)
    of_two = BranchedStage._of_two
    monkeypatch.setattr(
        BranchedStage, "_of_two", lambda self, crossed, terms, moved: 0.9 * of_two(self, crossed, terms, moved)
    )
    wrong = mg.exact.moments(problem, theta, chosen, tolerance=1e-4)
    assert np.abs(wrong.covariances[0, 0, 0] / covariance[0, 0] - 1) > 1e-3


def test_all_kinds_measured(seed):
    """Covariances with other estimators, too, and of branches in worlds of their own with those on common noise."""
    policy = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    problem, theta, count = mg.Problem(mg.environments.double_well(), policy, horizon=2), [-0.3, 0.5], 50_000
    chosen = {"all": KINDS["all"], "apart": KINDS["one apart"], "to go": e.reward_to_go(), "PW": e.reparameterization()}
    found = mg.exact.moments(problem, theta, chosen, tolerance=1e-3)
    samples = mg.sample(problem, theta, chosen, count, seed, machine="numpy")
    for x, y in itertools.combinations_with_replacement(chosen, 2):
        product = np.prod([samples[k] - found[k].mean for k in (x, y)], axis=0)
        error = product.std(axis=0) / np.sqrt(count)
        assert np.all(np.abs(product.mean(axis=0) - found.covariance(x, y)) < 5 * error), (x, y)
        assert x != y or np.all(np.abs(1.3 * product.mean(axis=0) - found.covariance(x, y)) > 5 * error), (x, y)
    for x in chosen:
        assert np.all(np.abs(samples[x].mean(axis=0) - found[x].mean) < 5 * found[x].stderr(count)), x


@pytest.mark.parametrize("kind", [laws.NORMAL, laws.UNIFORM, laws.RAYLEIGH, laws.MAXWELL])
def test_laws(kind):
    """Gauss quadratures against the densities, and polynomials that are orthonormal under them."""
    low, high = laws.ENDS[kind]
    x, w = np.polynomial.legendre.leggauss(400)
    x = (low + high + (high - low) * x) / 2
    w = w * (high - low) / 2 * laws.density(kind, x)
    nodes, weights = laws.gauss(kind, 4)
    for k in range(8):
        np.testing.assert_allclose(weights @ nodes**k, w @ x**k, rtol=1e-10, atol=1e-10)
    assert abs(weights @ nodes**8 / (w @ x**8) - 1) > 1e-6  # two times four powers, and no more
    middle = (low + high) / 3
    np.testing.assert_allclose(
        np.diff(laws.probability(kind, np.array([[-np.inf, middle, np.inf]]))),
        [[np.sum(w * (x < middle)), np.sum(w * (x >= middle))]],
        atol=2e-2,
    )
    a, b = laws.recurrence(kind, 7)
    h = [np.zeros_like(x), np.ones_like(x)]
    for k in range(6):
        h.append(((x - b[k]) * h[-1] - (a[k - 1] if k else 0.0) * h[-2]) / a[k])
    np.testing.assert_allclose(np.array(h[1:]) * w @ np.array(h[1:]).T, np.eye(7), atol=1e-9)


def test_what_is_refused():
    no = mg.exact.NoClosedForm
    problem, theta = smooth()
    for estimator in (mvd(), mvd("independent"), mvd(times="one")):
        with pytest.raises(no, match=r"the law of three rollouts and more|moments up to the second"):
            mg.exact.moments(problem, theta, {"x": estimator}, higher=True)
    with pytest.raises(no, match="all times and at one, which share some"):
        mg.exact.moments(problem, theta, {"x": mvd("independent"), "y": mvd("independent", "one")})
    with pytest.raises(no, match="branch off where something kinks or jumps"):  # episodes that end
        mg.exact.moments(*stopped(3), {"x": mvd()})
