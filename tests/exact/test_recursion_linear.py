"""Moments by the recursion on polynomials: against the reference systems, closed forms, and where rounding would explode."""

import numpy as np
import pytest
from support import CASES, reference_problem, w1
from test_lq_cases import estimators, reference

import mcgrad as mg
from mcgrad.exact.recursion import moments, polynomials

e = mg.estimators
KEYS = ("total_bJ", "rtg_V", "pw", "mix(rtg,pw)")


def scalar(A=0.9, horizon=10, **options):
    """The problem of the README."""
    lq = mg.environments.linear_quadratic([[A]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    return mg.Problem(lq, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=horizon, **options), [-0.6]


def assert_agrees(problem, theta, estimator, rtol=1e-10):
    found = mg.exact.moments(problem, theta, {"x": estimator})["x"]
    np.testing.assert_allclose(found.variance, mg.exact.variance(problem, theta, estimator), rtol=rtol)
    scale = np.abs(mg.exact.mean(problem, theta, estimator)).max()
    np.testing.assert_allclose(found.mean, mg.exact.mean(problem, theta, estimator), rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_reference_systems(case):
    """Of the largest ones, in dimension or horizon, only two estimators, for the sake of time."""
    problem, theta = reference_problem(case["system"])
    chosen = estimators(case, problem, theta)
    for key in KEYS if len(case["system"]["A"]) * len(case["system"]["L"]) < 6 else ("pw",):
        found = mg.exact.moments(problem, theta, {"x": chosen[key]})
        mean, variance = reference(case, key)
        np.testing.assert_allclose(found["x"].variance[: len(variance)], variance, rtol=1e-10, err_msg=key)
        np.testing.assert_allclose(found["x"].mean[: len(mean)], mean, atol=1e-10 * np.abs(mean).max(), err_msg=key)
        assert found.space == "polynomials" and not found.change and found.left == 0.0


def test_the_reference_sees_a_planted_error():
    """A thousandth more noise of the actions: far beyond the tolerance."""
    case = CASES[3]
    problem, theta = reference_problem(case["system"])
    theta[-1] += 1e-3
    found = mg.exact.moments(problem, theta, {"x": e.reward_to_go()})
    _, variance = reference(case, "rtg")
    assert np.max(np.abs(found["x"].variance[: len(variance)] / variance - 1)) > 1e-4


wrong = mg.critics.exact().wrong(scale=1.3, shift=0.5)


@pytest.mark.parametrize(
    "estimator",
    [
        e.score_function(mg.baselines.value()),
        e.reward_to_go(mg.baselines.optimal_over_time()),
        e.reward_to_go(mg.baselines.optimal_quadratic()),
        e.q_function(wrong),
        e.advantage(),
        e.all_actions(),
        e.value_gradient(),
        e.action_control_variate(wrong),
        e.trajectory_control_variate(),
        e.short_horizon(3),
        e.truncated_reparameterization(3),
        e.control_variate(e.reparameterization(), e.score()),
        e.difference(e.reward_to_go(), e.reparameterization()),
        e.leave_one_out(4),
        e.same_batch_mean(2),
        e.antithetic(e.reward_to_go()),
        e.antithetic(e.reparameterization(), "actions"),
        e.finite_differences(0.1, 1),
        e.evolution_strategies(0.1),
        e.spsa(0.1, "independent"),
        e.generalized_advantage(0.9),
    ],
    ids=lambda x: type(x).__name__,
)
def test_estimators_with_a_closed_form(estimator):
    assert_agrees(*scalar(discount=0.95), estimator)


def test_w1():
    """The workload: n = 4, m = 2, T = 50, both gradients and their covariance."""
    problem, theta = w1()
    to_go, pathwise = e.reward_to_go(), e.reparameterization()
    found = mg.exact.moments(problem, theta, {"to go": to_go, "pathwise": pathwise})
    for name, x in (("to go", to_go), ("pathwise", pathwise)):
        np.testing.assert_allclose(found[name].variance, mg.exact.variance(problem, theta, x), rtol=1e-10)
        np.testing.assert_allclose(found[name].mean, mg.exact.gradient(problem, theta), atol=1e-10)
    exact = mg.exact.covariance(problem, theta, to_go, pathwise)
    np.testing.assert_allclose(found.covariance("to go", "pathwise"), exact, rtol=1e-10)


@pytest.mark.parametrize(
    "estimator", [e.score_function(), e.reward_to_go(mg.baselines.value()), e.reparameterization()]
)
def test_unstable_loops_keep_their_digits(estimator):
    """A closed loop of 1.7 over 30 steps: coefficients that cancel must be zeros, not rounding that grows faster."""
    problem, theta = scalar(2.0, 30)
    assert_agrees(problem, theta, estimator)


def test_multiplicative_noise_and_uniform_noise():
    """s' = s (0.8 + 0.3 w) + a + u - 1/2: no closed form; by quadrature over all noise, and by hand for the return."""

    def step(p, s, a, w):
        return (s[0] * (0.8 + 0.3 * w[0]) + a[0] + w[1] - 0.5,)

    environment = mg.Environment(
        states=1, actions=1, noises=1, uniforms=1, initial_noises=1, init=lambda p, z: (1.0 + 0.5 * z[0],), step=step,
        reward=lambda p, s, a, s_next, w: -(s_next[0] ** 2) + 0.2 * s[0] * w[1],
    )  # fmt: skip
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.4), horizon=2)
    chosen = {"to go": e.reward_to_go(), "pathwise": e.reparameterization(), "score": e.score_function(-1.0)}
    found = mg.exact.moments(problem, [-0.3], chosen)
    other = mg.exact.quadrature(problem, [-0.3], chosen, nodes=7)
    for name in chosen:
        np.testing.assert_allclose(found[name].variance, other[name].variance, rtol=1e-8)
        np.testing.assert_allclose(found[name].mean, other[name].mean, rtol=1e-8)
    np.testing.assert_allclose(found.covariance("to go", "pathwise"), other.covariance("to go", "pathwise"), rtol=1e-8)


def test_third_and_fourth_moments():
    """All moments of one step by hand: g = -(z - k s - ...)^2 is a polynomial of two normals, enumerated by quadrature."""
    problem, theta = scalar(horizon=1)
    found = mg.exact.moments(problem, theta, {"x": e.reward_to_go()}, higher=True)["x"]
    x, w = np.polynomial.hermite_e.hermegauss(20)
    s, noise = np.meshgrid(x, x)
    weight = np.outer(w, w) / w.sum() ** 2
    g = -(s**2 + 0.1 * (-0.6 * s + 0.5 * noise) ** 2) * noise / 0.5 * s
    mean = np.sum(weight * g)
    central = [np.sum(weight * (g - mean) ** k) for k in (2, 3, 4)]
    np.testing.assert_allclose([found.mean[0], found.variance[0]], [mean, central[0]], rtol=1e-12)
    np.testing.assert_allclose([found.third[0], found.fourth[0]], central[1:], rtol=1e-12)
    assert found.kurtosis[0] == pytest.approx(central[2] / central[0] ** 2)
    assert found.variance_stderr(10**6)[0] == pytest.approx(
        central[0] * np.sqrt((found.kurtosis[0] - 1) / 10**6), rel=1e-5
    )


def test_kurtosis_of_a_measurement():
    """What measured error bars of a variance are estimates of, and the measured variance within five of the exact ones."""
    problem, theta = scalar()
    chosen = {"pathwise": e.reparameterization(), "to go": e.reward_to_go()}
    found = mg.exact.moments(problem, theta, chosen, higher=True)
    measured = mg.measure(problem, theta, chosen, 200_000, progress=False, machine="numpy")
    for name in chosen:
        exact = found[name].variance_stderr(200_000)
        assert np.all(np.abs(measured[name].variance - found[name].variance) < 5 * exact)
    np.testing.assert_allclose(measured["pathwise"].kurtosis, found["pathwise"].kurtosis, rtol=0.1)


def test_all_covariances_are_those_of_each_pair():
    problem, theta = w1(horizon=3)
    chosen = {"to go": e.reward_to_go(), "pathwise": e.reparameterization()}
    found = mg.exact.moments(problem, theta, chosen, full_covariance=True)
    both = mg.exact.covariance_matrix(problem, theta, chosen["to go"], chosen["pathwise"])
    np.testing.assert_allclose(found.covariance_matrix("to go", "pathwise"), both, atol=1e-10 * np.abs(both).max())
    with pytest.raises(ValueError, match="full_covariance"):
        mg.exact.moments(problem, theta, chosen).covariance_matrix("to go", "pathwise")


def test_a_degree_that_is_too_low_is_an_error(monkeypatch):
    """Nothing is cut silently: whatever does not fit into its field is refused."""
    honest = polynomials.degrees

    def planted(*arguments, **options):
        found = honest(*arguments, **options)
        return [y._replace(covariance={x: max(d - 1, -1) for x, d in y.covariance.items()}) for y in found]

    monkeypatch.setattr(polynomials, "degrees", planted)
    monkeypatch.setattr(moments, "approximate", lambda asked, options: pytest.fail(repr(options.reason)))
    with pytest.raises(pytest.fail.Exception, match="TooSmall.*degree"):  # and never a user sees it: grids come next
        mg.exact.moments(*scalar(), {"x": e.reward_to_go()})


def test_degrees_that_grow_from_step_to_step_are_those_of_each_step():
    """On the double well the degree triples; the score of a mean that is a constant has the variance T / std^2."""
    policy = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    for horizon, space in ((1, "polynomials"), (3, "polynomials"), (6, "grid")):
        problem = mg.Problem(mg.environments.double_well(), policy, horizon=horizon)
        found = mg.exact.moments(problem, [-0.3, 0.5], {"x": e.score()})
        assert space in found.space
        np.testing.assert_allclose(found["x"].variance[1], 4.0 * horizon, rtol=1e-6)
    problem = mg.Problem(mg.environments.double_well(), policy, horizon=2)
    found = mg.exact.moments(problem, [-0.3, 0.5], {"x": e.reward_to_go(), "y": e.score()})
    sample = mg.measure(problem, [-0.3, 0.5], {"x": e.reward_to_go()}, 20_000, progress=False, machine="numpy")["x"]
    assert np.all(np.abs(sample.variance - found["x"].variance) < 5 * sample.variance_stderr)


@pytest.mark.parametrize("options", [{}, {"points": 1}, {"truncated": True}], ids=str)
def test_perturbations_that_are_drawn_anew_at_each_step(options):
    """They are noise of the step like any other: closed forms to rounding; another width is not taken for it."""
    problem, theta = scalar(horizon=3)
    estimator, other = (e.persistent_evolution_strategies(h, 1, **options) for h in (0.1, 0.11))
    found = mg.exact.moments(problem, theta, {"x": estimator})["x"]
    np.testing.assert_allclose(found.mean, mg.exact.mean(problem, theta, estimator, work=0), rtol=1e-10)
    np.testing.assert_allclose(found.variance, mg.exact.variance(problem, theta, estimator, work=0), rtol=1e-10)
    assert np.abs(found.variance / mg.exact.variance(problem, theta, other, work=0) - 1).max() > 1e-3
    with pytest.raises(mg.exact.NoClosedForm, match="it is the first of those that are drawn anew"):
        mg.exact.moments(problem, theta, {"x": estimator, "y": e.evolution_strategies(0.1)})


def test_what_cannot_be_done_says_why():
    problem, theta = scalar()
    refused = {
        "perturbed anew every few steps": e.persistent_evolution_strategies(0.1, 2),
        "sqrt .* do not follow from those of its members": e.standardised(3),
        r"\(>\).*self-normalised weights.*do not follow": e.importance_weighted([-0.5], "self-normalised", group=3),
    }
    for why, estimator in refused.items():
        with pytest.raises(mg.exact.NoClosedForm, match=why):
            mg.exact.moments(problem, theta, {"x": estimator})
    with pytest.raises(ValueError, match="estimators"):
        mg.exact.moments(problem, theta, [e.score()])
    with pytest.raises(KeyError, match="was not asked for"):
        mg.exact.moments(problem, theta, {"x": e.score()})["y"]
