"""A user's own estimators (those of `examples/an_estimator.py`, which is measured as well) have their exact moments."""

import numpy as np
import pytest

import mcgrad as mg
from examples.an_estimator import decayed, problems
from mcgrad.kernels import memo, tracing


def linear():
    return problems()["linear"]


def test_the_variance_of_an_own_estimator_is_asked_for_as_any_other():
    """`exact.variance` falls back to the recursion; closed forms alone have none."""
    problem, theta = linear()
    mine = decayed(1.0)  # the reward to go by another name
    known = mg.estimators.reward_to_go()
    np.testing.assert_allclose(
        mg.exact.variance(problem, theta, mine), mg.exact.variance(problem, theta, known), rtol=1e-12
    )
    np.testing.assert_allclose(mg.exact.mean(problem, theta, mine), mg.exact.gradient(problem, theta), rtol=1e-12)
    several = mg.exact.variance(
        problem, [theta, 0.5 * theta], mine
    )  # a batch of thetas, as where closed forms are known
    np.testing.assert_allclose(several, mg.exact.variance(problem, [theta, 0.5 * theta], known), rtol=1e-12)
    both = mg.exact.covariance(problem, theta, mine, mg.estimators.reparameterization())
    other = mg.exact.covariance(problem, theta, known, mg.estimators.reparameterization())
    np.testing.assert_allclose(both, other, rtol=1e-12)
    with pytest.raises(mg.exact.NoClosedForm):
        mg.exact.variance(problem, theta, mine, work=0)


def test_coefficients_of_own_estimators_are_the_optimal_ones():
    problem, theta = linear()
    known = mg.estimators.control_variate(mg.estimators.reward_to_go(), mg.estimators.score())
    mine = mg.estimators.control_variate(decayed(1.0), mg.estimators.score())
    np.testing.assert_allclose(
        mg.exact.variance(problem, theta, mine), mg.exact.variance(problem, theta, known), rtol=1e-10
    )


def test_what_leaves_the_ring_is_named():
    """A condition on what is carried back makes it no polynomial: said, not guessed."""

    def step(c, x, later):
        return np.maximum(later + x.reward, -1.0), tuple(later * z for z in x.score)

    mine = mg.estimators.custom(step, lambda c, end: end.reward)
    with pytest.raises(mg.exact.NoClosedForm, match="a carry is not affine in what comes later: maximum"):
        mg.exact.moments(*linear(), {"x": mine})


def test_design_parameters_rewards_that_see_the_policy_and_hidden_adjoints():
    """What moves along paths besides: a mass, an entropy bonus, a memory; the gradient by differences of exact returns."""

    def step(p, s, a, w):
        return (p.gain * s[0] + a[0] + 0.1 * w[0],)

    def reward(p, s, a, s_next, w, eta):
        return -(s_next[0] ** 2) - 0.1 * eta[0] ** 2

    environment = mg.Environment(states=1, actions=1, noises=1, initial_noises=1, step=step, reward=reward,
                                 params={"gain": 0.8}, init=lambda p, z: (p.gain + 0.5 * z[0],))  # fmt: skip
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.4), horizon=4, design=("gain",))
    theta = np.array([-0.3, 0.8])
    chosen = {"to go": mg.estimators.reward_to_go(), "pathwise": mg.estimators.reparameterization()}
    found = mg.exact.moments(problem, theta, chosen)
    np.testing.assert_allclose(found["to go"].mean, found["pathwise"].mean, rtol=1e-10)

    def whole(c, x, later):
        return later + x.reward, []

    # The return itself as a component of an "estimator": exact J, with nothing differentiated.
    J = mg.estimators.custom(whole, lambda c, end: end.reward, lambda c, sums, carry: (carry, 0.0))
    for p, step in enumerate(1e-3 * np.eye(2)):
        values = [mg.exact.moments(problem, theta + k * step, {"J": J})["J"].mean[0] for k in (-2, -1, 1, 2)]
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-3
        np.testing.assert_allclose(found["pathwise"].mean[p], slope, rtol=1e-9)


def test_graphs_are_remembered_without_their_numbers(monkeypatch):
    """Systems, discounts and widths that differ in numbers alone are traced once, and each has moments of its own."""
    made, cases = [], []

    def counted(key, make):
        return remembered(key, lambda: made.append(key) or make())

    remembered = tracing.remembered_graphs
    monkeypatch.setattr(tracing, "remembered_graphs", counted)
    for k in (1.0, 1.2):
        lq = mg.environments.linear_quadratic([[0.9 * k]], [[0.5 / k]], [[1.0]], [[0.1]], process_noise=[[0.04 * k]])
        policy = mg.policies.linear_gaussian(1, 1, std=0.5 * k)
        for x in (mg.estimators.finite_differences(0.1 * k, 1), mg.estimators.reward_to_go(mg.baselines.value())):
            cases.append((mg.Problem(lq, policy, horizon=2 + int(5 * k), discount=0.9 / k), [-0.6 * k], x))
    memo.forget()
    found = [mg.exact.moments(problem, theta, {"x": x})["x"].variance for problem, theta, x in cases]
    assert len(made) == 2
    for (problem, theta, x), variance in zip(cases, found, strict=True):
        memo.forget()
        np.testing.assert_array_equal(mg.exact.moments(problem, theta, {"x": x})["x"].variance, variance)
        np.testing.assert_allclose(mg.exact.variance(problem, theta, x, work=0), variance, rtol=1e-10)
