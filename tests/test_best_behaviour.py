"""The behaviour that varies least: known values, the region of finite variance, and neighbours that are worse."""

import numpy as np
import pytest
from support import SEED, standard_errors
from test_floor import _components, table

import mcgrad as mg
from studies.ladder import scalar

E, B = mg.estimators, mg.baselines


def per_decision(theta, **options):
    return E.importance_weighted(theta, "per decision", B.value(), **options)


def test_the_scalar_problem_explores_more_than_it_acts():
    """From 33.4 to 21.8, with a std larger by 14 %; the variance is infinite below 1 / sqrt 2 times the std."""
    problem, theta = scalar()
    found = mg.best_behaviour(problem, theta, per_decision(theta))
    assert found.on_policy[0] == pytest.approx(33.40123991, rel=1e-8)
    assert found.variance[0] == pytest.approx(21.76479939, rel=1e-7)
    assert found.scale[0] == pytest.approx(1.14206, abs=1e-4) and found.theta[0] == -0.6
    assert found.region == (pytest.approx(np.sqrt(0.5), rel=1e-5), np.inf)

    def at(scale, weights="per decision"):
        theta_b = [-0.6, np.log(0.5 * scale)]
        return mg.exact.variance(
            problem, theta, E.importance_weighted(theta_b, weights, B.value(), behaviour=found.policy)
        )

    assert min(at(0.98 * found.scale[0]), at(1.02 * found.scale[0])) > found.variance * (1 + 1e-4)
    for weights in ("per decision", "trajectory"):
        assert np.isinf(at(0.7069, weights)).all() and np.isfinite(at(0.7073, weights)).all()
    measured = mg.measure(problem, theta, {"it": found.estimator}, 200_000, SEED)["it"]
    gradient = mg.exact.gradient(problem, theta)
    assert standard_errors(measured, gradient, found.variance) < 5
    assert standard_errors(measured, gradient, found.on_policy) > 5


def test_two_scales_and_the_gain():
    rng = np.random.default_rng(0)
    environment = mg.environments.linear_quadratic(
        [[0.7]], rng.normal(size=(1, 2)), [[1.0]], 0.1 * np.eye(2), process_noise=[[0.04]]
    )
    policy = mg.policies.linear_gaussian(1, 2, std=[0.4, 0.7], learn_std=True)
    problem, theta = mg.Problem(environment, policy, 2), policy.theta([[-0.3], [0.1]])
    scales = mg.best_behaviour(problem, theta, E.importance_weighted(theta))
    assert scales.variance.sum() < scales.on_policy.sum() and len(scales.scale) == 2
    everything = mg.best_behaviour(problem, theta, E.importance_weighted(theta), vary="all")
    assert everything.variance.sum() <= scales.variance.sum() * (1 + 1e-9)
    for k in range(4):  # moving any parameter either way is worse
        for step in (-0.03, 0.03):
            moved = everything.theta + step * np.eye(4)[k]
            other = E.importance_weighted(moved, behaviour=everything.policy)
            assert mg.exact.variance(problem, theta, other).sum() > everything.variance.sum()


def test_tables():
    """Against enumeration elsewhere (on policy it is reward to go), measurement here, and neighbours."""
    problem, theta = table()
    for baseline in (None, 1.3, B.value()):
        on_policy = mg.exact.variance(problem, theta, E.importance_weighted(theta, "per decision", baseline))
        np.testing.assert_allclose(on_policy, mg.exact.variance(problem, theta, E.reward_to_go(baseline)), rtol=1e-12)
    found = mg.best_behaviour(problem, theta, per_decision(theta))
    assert found.scale is None and found.variance.sum() < 0.9 * found.on_policy.sum()
    rng, visited = np.random.default_rng(1), found.variance > 0
    for _ in range(5):
        moved = per_decision(found.theta + 0.1 * rng.normal(size=6))
        assert mg.exact.variance(problem, theta, moved).sum() > found.variance.sum()
    other = per_decision(found.theta + 0.5)  # one policy: a number added to all logits
    np.testing.assert_allclose(mg.exact.variance(problem, theta, other), found.variance, rtol=1e-9, atol=1e-15)
    far = per_decision(0.3 * theta + 0.2 * rng.normal(size=6))
    measured = _components(mg.measure(problem, theta, {"it": far}, 200_000, SEED)["it"], visited)
    exact, gradient = mg.exact.variance(problem, theta, far)[visited], mg.exact.gradient(problem, theta)[visited]
    assert standard_errors(measured, gradient, exact) < 5
    assert standard_errors(measured, gradient, found.on_policy[visited]) > 5
    np.testing.assert_allclose(mg.exact.mean(problem, theta, far), mg.exact.gradient(problem, theta))


def test_what_cannot_be_asked():
    problem, theta = scalar()
    with pytest.raises(ValueError, match="estimator: expected importance_weighted"):
        mg.best_behaviour(problem, theta, E.reward_to_go())
    with pytest.raises(ValueError, match="estimator: expected importance_weighted"):
        mg.best_behaviour(problem, theta, E.importance_weighted(theta, "self-normalised", group=4))
    with pytest.raises(ValueError, match="vary: expected 'std' or 'all'"):
        mg.best_behaviour(problem, theta, per_decision(theta), vary="gain")
    pendulum = mg.Problem(mg.environments.pendulum(), mg.policies.linear_gaussian(2, 1, std=0.3), 3)
    with pytest.raises(mg.exact.NoClosedForm):
        mg.best_behaviour(pendulum, [0.0, 0.0], E.importance_weighted([0.0, 0.0]))
    with pytest.raises(mg.exact.NoClosedForm):
        mg.best_behaviour(*table(), E.importance_weighted(np.zeros(6)))
