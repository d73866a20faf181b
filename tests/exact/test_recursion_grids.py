"""Moments by the recursion on grids: against quadrature by differences, published closed forms and measurement; refusals."""

import warnings

import numpy as np
import pytest

import mcgrad as mg
from mcgrad.exact.recursion import noise
from mcgrad.exact.recursion.refine import START, checked_options, level
from mcgrad.exact.recursion.values import value_within

e, env, policies = mg.estimators, mg.environments, mg.policies
features = policies.linear_features
COUNT = 100_000


def both(problem, theta):
    """Pathwise, and reward to go with a baseline of numbers."""
    return {"pathwise": e.reparameterization(), "to go": e.reward_to_go(-1.0)}


def double_well(horizon=20):
    policy = features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    return mg.Problem(env.double_well(), policy, horizon=horizon), [-0.3, 0.5]


def kinked(horizon=3):
    """A user's own: a dead zone in the reward and a limit on the action, no process noise to smooth them."""

    def step(p, s, a, w):
        return (0.9 * s[0] + 0.5 * np.clip(a[0], -1.0, 1.0),)

    def reward(p, s, a, s_next, w):
        return -(np.maximum(abs(a[0] - s[0]) - 0.2, 0.0) ** 2)

    mine = mg.Environment(states=1, actions=1, initial_noises=1, step=step, reward=reward,
                          init=lambda p, z: (0.3 * z[0],), name="kinked")  # fmt: skip
    return mg.Problem(mine, policies.linear_gaussian(1, 1, std=0.6), horizon=horizon), [-0.7]


def coulomb():
    policy = features(lambda s: (1.0 - s[0], s[1]), 2, 1, std=0.3)
    return mg.Problem(env.coulomb_friction(5.0), policy, horizon=8), [1.0, 0.3]


def assert_measured(problem, theta, chosen, tolerance, higher=True):
    """Mean, variance and kurtosis within five standard errors of a measurement, exact ones if known; a planted error beyond."""
    found = mg.exact.moments(problem, theta, chosen, higher=higher, tolerance=tolerance)
    measured = mg.measure(problem, theta, chosen, COUNT, progress=False, machine="numpy")
    assert max(found.change.values(), default=0.0) <= tolerance
    for name in chosen:
        x, y = found[name], measured[name]
        of_variance = x.variance_stderr(COUNT) if higher else y.variance_stderr
        assert np.all(np.abs(y.mean - x.mean) < 5 * x.stderr(COUNT)), name
        assert np.all(np.abs(y.variance - x.variance) < 5 * of_variance), name
        assert not np.all(np.abs(1.5 * y.variance - x.variance) < 5 * of_variance), name
        assert not higher or np.all(np.abs(y.kurtosis / x.kurtosis - 1) < 0.5), name


def test_double_well_is_unbiased_without_noise():
    """Two estimators of one gradient, by the score and along paths: an unbiasedness test that nothing random enters."""
    problem, theta = double_well()
    found = mg.exact.moments(problem, theta, both(problem, theta), tolerance=1e-6)
    np.testing.assert_allclose(found["to go"].mean, found["pathwise"].mean, rtol=1e-7)
    cut = mg.exact.moments(problem, theta, {"x": e.truncated_reparameterization(3)}, tolerance=1e-6)
    assert np.abs(cut["x"].mean / found["pathwise"].mean - 1).max() > 0.01  # and bias is seen


def test_double_well_measured():
    problem, theta = double_well()
    assert_measured(problem, theta, both(problem, theta), 1e-5)


def test_kinks_of_a_user_measured():
    problem, theta = kinked()
    assert_measured(problem, theta, both(problem, theta), 1e-3)


def test_coulomb_friction_measured():
    problem, theta = coulomb()
    assert_measured(problem, theta, both(problem, theta), 1e-3, higher=False)


def test_quadrature_by_differences():
    """Three steps of a cubic system: a witness that shares neither derivatives nor estimators."""
    policy = features(lambda s: (s[0], s[0] ** 3), 1, 1, std=1.0)
    problem, theta = mg.Problem(env.cubic_scalar(), policy, horizon=2), [-0.2, -0.5]
    chosen = both(problem, theta)
    found = mg.exact.moments(problem, theta, chosen, tolerance=1e-7)
    other = mg.exact.quadrature(problem, theta, chosen, nodes=30, tolerance=1e-6)
    for name in chosen:
        np.testing.assert_allclose(found[name].variance, other[name].variance, rtol=1e-7)
        np.testing.assert_allclose(found[name].mean, other[name].mean, rtol=1e-7)


@pytest.mark.parametrize(
    "cost", [env.quadratic_cost(0.5), env.cosine_cost(2.0), env.exponential_cost(0.5)], ids=lambda x: x.name
)
def test_one_step(cost):
    problem, theta = mg.Problem(cost, policies.gaussian(1), horizon=1), [0.7, 0.4]
    for estimator in (e.score_function(), e.reparameterization()):
        found = mg.exact.moments(problem, theta, {"x": estimator}, tolerance=1e-10)["x"]
        np.testing.assert_allclose(found.variance, mg.exact.variance(problem, theta, estimator), rtol=1e-9)
        np.testing.assert_allclose(found.mean, mg.exact.mean(problem, theta, estimator), rtol=1e-9)


def test_jumps_of_the_published_examples():
    """The ball and the wall of Suh et al.: the score function is right, and the pathwise gradient's bias exact, too."""
    problem, theta = mg.Problem(env.ball_with_wall(), policies.gaussian(1, std=0.05), horizon=1), [0.6]
    for estimator in (e.score_function(), e.reparameterization()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mg.DiscontinuityWarning)
            found = mg.exact.moments(problem, theta, {"x": estimator}, tolerance=1e-9)["x"]
        np.testing.assert_allclose(found.variance, mg.exact.variance(problem, theta, estimator), rtol=1e-8)
        np.testing.assert_allclose(found.mean, mg.exact.mean(problem, theta, estimator), rtol=1e-8, atol=1e-12)


def test_importance_weights():
    """exp of what is carried back is a polynomial in exp of it; no polynomial in the state, so on a grid."""
    lq = env.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    problem = mg.Problem(lq, policies.linear_gaussian(1, 1, std=0.5), horizon=4)
    for weights in ("trajectory", "per decision"):
        estimator = e.importance_weighted([-0.5], weights)
        found = mg.exact.moments(problem, [-0.6], {"x": estimator}, tolerance=1e-6)["x"]
        np.testing.assert_allclose(found.variance, mg.exact.variance(problem, [-0.6], estimator), rtol=1e-5)


def cart_pole(horizon):
    policy = policies.softmax_of_state(lambda s: (*s, 1.0), 4, 2)
    return mg.Problem(env.cart_pole(), policy, horizon=horizon), 0.5 * np.sin(np.arange(10.0))


def test_cart_pole_measured():
    """Discrete actions on a continuous state of four numbers, rewards that all are 1 but for a baseline of none."""
    problem, theta = cart_pole(4)
    assert_measured(problem, theta, {"to go": e.reward_to_go()}, 1e-3, higher=False)


def test_a_box_that_is_too_small_is_not_believed():
    problem, theta = double_well()
    with pytest.raises(mg.exact.NoClosedForm, match="no convergence .* It is the box that moves most"):
        mg.exact.moments(problem, theta, {"x": e.reward_to_go()}, box=([-0.2], [0.2]), work=0.2)


def test_panels_that_are_too_coarse_are_not_believed(monkeypatch):
    """Gauss quadrature across kinks of the noise, as if the graphs had none."""
    problem, theta = kinked()
    monkeypatch.setattr(noise, "edges", lambda chain, wanted: [])
    with pytest.raises(mg.exact.NoClosedForm, match=r"no convergence .*noise \d\.\de-0[1-4]"):
        mg.exact.moments(problem, theta, {"x": e.reparameterization()}, work=0.03)


def test_every_level_is_finer_in_everything():
    """Or what is not refined would not be seen to move."""
    for states in START:
        for k in range(16):
            now, later = vars(level(states, k)), vars(level(states, k + 1))
            assert all(later[x] > now[x] for x in now), (states, k)


def test_more_states_than_a_grid_takes():
    def step(p, s, a, w):
        return tuple(np.sin(x) + 0.1 * a[0] for x in s)

    five = mg.Environment(
        states=5, actions=1, step=step, init=lambda p, z: (0.1,) * 5, reward=lambda p, s, a, s_next, w: a[0] ** 2
    )
    problem = mg.Problem(five, policies.linear_gaussian(5, 1, std=0.3), horizon=2)
    with pytest.raises(mg.exact.NoClosedForm, match="5 states, which are too many for a grid"):
        mg.exact.moments(problem, np.zeros(5), {"x": e.reparameterization()})


def of_recursion(problem, theta):
    return value_within(problem, problem.theta(theta), checked_options(problem, 1e-5, None, 20.0))


def test_value_functions():
    """Against closed forms, and the objective of the double well by two more of its estimators' identities: E V(s_0) = J."""
    lq = env.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    problem, theta = mg.Problem(lq, policies.linear_gaussian(1, 1, std=0.5), horizon=10), [-0.6]
    V, known = of_recursion(problem, theta), mg.exact.value(problem, theta)
    s = np.linspace(-2, 2, 5)[:, None]
    for t in (0, 4, 10):
        np.testing.assert_allclose(V(t, s), -(known.P[t, 0, 0] * s[:, 0] ** 2 + known.c[t]), rtol=1e-12, atol=1e-14)
    assert V.objective == pytest.approx(mg.exact.objective(problem, theta), rel=1e-12) == known.objective
    walk, logits = mg.Problem(env.random_walk(7), policies.softmax(7, 2), horizon=9), np.linspace(-1, 1, 14)
    V, known = of_recursion(walk, logits), mg.exact.value(walk, logits)
    np.testing.assert_allclose(V(2, np.arange(7.0)[:, None]), known.V[2], atol=1e-13)
    for same in (V, known):  # one kind of record, and one door
        assert (
            isinstance(same, mg.exact.ValueFunction) and same.horizon == 9 and same.space == "table" and not same.change
        )
        assert same(2, [3.0]).shape == () and same(2, [[3.0]]).shape == (1,)
        with pytest.raises(ValueError, match="^t: expected a whole number from 0 to 9, got 10"):
            same(10, [3.0])
        for s in ([7.0], [-1.0], [2.5], [0.0, 1.0], [np.nan]):
            with pytest.raises(ValueError, match="^s: expected"):
                same(0, s)
    problem, theta = double_well()
    V = mg.exact.value(problem, theta)  # which has no closed form
    with pytest.raises(mg.exact.NoClosedForm):
        mg.exact.value(problem, theta, work=0)
    assert np.isnan(V(3, [1e3])) and np.isfinite(V(3, [1.0]))  # no value is known outside of the box of the grid
    with pytest.raises(ValueError, match="^s: expected shape"):
        V(3, [1.0, 2.0])
    path = mg.rollout(problem, theta, 100_000, 1, machine="numpy")
    returns = path.rewards.sum(axis=1)
    assert abs(returns.mean() - V.objective) < 5 * returns.std() / np.sqrt(100_000)
    # The news of each step has mean zero, whatever the state: G_t - V_t(s_t)
    apart = path.rewards[:, 5:].sum(axis=1) - V(5, path.states[:, 5])
    assert abs(apart.mean()) < 5 * apart.std() / np.sqrt(100_000)
    assert V.change and max(V.change.values()) <= 1e-5
