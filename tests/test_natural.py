"""Natural gradients and Fisher matrices: exact, by Monte Carlo, and given or estimated from scores."""

import numpy as np
import pytest
from environments_of_tests import pendulum
from support import CASES, reference_problem, standard_errors, w1
from test_critics import random_problem

import mcgrad as mg
from mcgrad import estimators as E
from mcgrad.estimators.natural import generalised_inverse
from mcgrad.exact import covariance_matrix, natural_gradient
from mcgrad.exact import fisher as exact_fisher
from mcgrad.fisher_information import fisher
from mcgrad.fitting import PILOT, Range
from mcgrad.run import Run

COUNT = 200_000
rtg, pw = E.reward_to_go, E.reparameterization


@pytest.fixture(scope="module")
def problem():
    """Return (problem, theta) with correlated actions, learned log scales and discounting."""
    return random_problem(3)


def test_fisher_matrices(problem, seed):
    """Every entry within 5 standard errors; a matrix that forgets what Sigma_ik does to the log scales is not."""
    problem, theta = problem
    exact = exact_fisher(problem, theta)
    found = fisher(problem, theta, COUNT, seed)
    assert found.count == COUNT and found.mean.shape == found.stderr.shape == exact.shape
    np.testing.assert_array_equal(found.mean, found.mean.T)
    assert np.abs((found.mean - exact) / found.stderr).max() < 5
    assert np.all(found.stderr < 0.05 * np.sqrt(np.outer(np.diag(exact), np.diag(exact))))
    wrong = exact.copy()
    scales = slice(len(theta) - 2, None)
    wrong[scales, scales] = 2 * problem.horizon * np.eye(2)
    assert np.abs((found.mean - wrong) / found.stderr).max() > 5
    undiscounted = mg.Problem(problem.environment, problem.policy, problem.horizon)
    np.testing.assert_array_equal(exact_fisher(undiscounted, theta), exact)


def test_natural_gradients_are_unbiased_with_the_exact_variance(problem, seed):
    problem, theta = problem
    F = exact_fisher(problem, theta)
    other = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) + 0.5
    chosen = {
        "to go": E.natural(rtg(), F),
        "to go, V": E.natural(rtg(mg.baselines.value()), F),
        "PW": E.natural(pw(), F),
        "other": E.natural(pw(), other),
        "mixture": E.natural(E.control_variate(pw(), E.difference(rtg(), pw()), np.full((1, 6), -0.2)), F),
    }
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    gradient = mg.exact.gradient(problem, theta)
    for name, x in chosen.items():
        mean = np.linalg.solve(other if name == "other" else F, gradient)
        np.testing.assert_allclose(mg.exact.mean(problem, theta, x), mean, rtol=1e-10)
        assert standard_errors(found[name], mean, mg.exact.variance(problem, theta, x)) < 5, name
    np.testing.assert_allclose(natural_gradient(problem, theta), np.linalg.solve(F, gradient), rtol=1e-10)
    # Not given, the exact theory takes the exact one.
    variance = mg.exact.variance(problem, theta, chosen["PW"])
    np.testing.assert_allclose(mg.exact.variance(problem, theta, E.natural(pw())), variance, rtol=1e-12)


def test_covariance_matrices(problem, seed):
    problem, theta = problem
    chosen = {"X": rtg(), "Y": pw()}
    found = mg.measure(problem, theta, chosen, COUNT, seed, full_covariance=True)
    for a, b in (("X", "X"), ("X", "Y"), ("Y", "Y")):
        exact = covariance_matrix(problem, theta, chosen[a], chosen[b])
        np.testing.assert_allclose(np.diag(exact), mg.exact.covariance(problem, theta, chosen[a], chosen[b]), rtol=1e-9)
        # The standard error of a covariance of such samples is below sqrt(kurtosis / N) of the standard deviations.
        kurtosis = max(found[a].kurtosis.max(), found[b].kurtosis.max())
        spread = np.sqrt(np.outer(found[a].variance, found[b].variance) * kurtosis / COUNT)
        assert np.all(np.abs(found.covariance_matrix(a, b) - exact) < 5 * spread)


def test_estimated_fisher_matrices(problem, seed):
    """F of a pilot is within 5 standard errors, and the mean is that with this very F; so, nearly, is that of halves."""
    problem, theta = problem
    count, chosen = 50_000, {"pilot": E.natural(pw(), pilot=50_000), "halves": E.natural(pw())}
    found = mg.measure(problem, theta, chosen, 2 * count, seed)
    trajectories = Range(problem, theta, Run(seed, 1, None, None, "simd"), PILOT, count)
    F, gradient = chosen["pilot"].fit(trajectories).fisher, mg.exact.gradient(problem, theta)
    stderr = fisher(problem, theta, count, seed).stderr
    assert np.abs((F - exact_fisher(problem, theta)) / stderr).max() < 5
    assert np.all(np.abs(found["pilot"].mean - np.linalg.solve(F, gradient)) < 5 * found["pilot"].stderr)
    exact = natural_gradient(problem, theta)
    inverse = np.linalg.inv(exact_fisher(problem, theta))
    spread = np.linalg.norm(np.abs(inverse) @ stderr @ np.abs(exact))  # of F^-1 (F_hat - F) F^-1 g
    assert np.all(np.abs(found["halves"].mean - exact) < 5 * found["halves"].stderr + 5 * spread)


def test_natural_gradients_do_not_see_how_theta_is_written(seed):
    """With theta = M phi, g_phi = M^T g and F_phi = M^T F M: the natural gradient in phi moves theta as that in theta does."""
    problem, theta = pendulum(horizon=6)
    M = np.array([[1.0, 0.2, 0.0], [0.0, 3.0, -0.4], [0.5, 0.0, 0.1]])
    own = problem.policy.eta
    policy = mg.Policy(
        states=2,
        actions=1,
        noises=1,
        parameters=("a", "b", "c"),
        eta=lambda p, phi, s: own(p, tuple(p.M @ np.array(phi)), s),
        sample=problem.policy.sample,
        log_prob=problem.policy.log_prob,
        params={**problem.policy.params, "M": M},
    )
    F = fisher(problem, theta, 4000, seed, machine="numpy").mean
    written = mg.Problem(problem.environment, policy, 6)
    phi = np.linalg.solve(M, theta)
    one = mg.sample(problem, theta, {"g": E.natural(rtg(), F)}, 200, seed, machine="numpy")["g"]
    two = mg.sample(written, phi, {"g": E.natural(rtg(), M.T @ F @ M)}, 200, seed, machine="numpy")["g"]
    np.testing.assert_allclose(two @ M.T, one, rtol=1e-8, atol=1e-8)


def test_directions_that_change_nothing(seed):
    """All logits of a softmax up by one: no other policy. F is singular, and the natural gradient has no such component.

    It is the vector of advantages, up to a constant: q - q^T pi [Kakade 2002].
    """
    q, pi = np.array([1.0, 2.0, 0.0]), np.array([0.45, 0.35, 0.2])
    problem = mg.Problem(mg.environments.bandit(q), mg.policies.softmax(1, 3), 1)
    F = np.diag(pi) - np.outer(pi, pi)
    found = mg.measure(problem, np.log(pi), {"natural": E.natural(E.score_function(1.1), F)}, 20_000, seed)["natural"]
    apart, error = found.mean - found.mean[0], np.hypot(found.stderr, found.stderr[0])
    assert np.all(np.abs(apart - (q - q[0])) <= 5 * error)
    estimated = fisher(problem, np.log(pi), 20_000, seed)
    assert np.all(np.abs(estimated.mean - F) < 5 * estimated.stderr)


def test_units_of_parameters_do_not_matter():
    F, d = np.array([[2.0, 0.3], [0.3, 0.5]]), np.array([1e-8, 1e7])
    inverse = generalised_inverse
    np.testing.assert_allclose(inverse(F), np.linalg.inv(F), rtol=1e-12)
    np.testing.assert_allclose(inverse(F * np.outer(d, d)) * np.outer(d, d), np.linalg.inv(F), rtol=1e-12)
    np.testing.assert_array_equal(inverse(np.diag([4.0, 0.0])), np.diag([0.25, 0.0]))


def test_what_is_refused():
    problem, theta = w1(horizon=3)
    with pytest.raises(ValueError, match="estimator: expected an estimator, got str 'pw'"):
        E.natural("pw")
    with pytest.raises(ValueError, match="a control variate inside of a natural gradient needs fixed coefficients"):
        E.natural(E.mixture(pw(), rtg()))
    with pytest.raises(ValueError, match=r"fisher: expected shape \(any, any\), got \(2,\)"):
        E.natural(pw(), [1.0, 2.0])
    with pytest.raises(ValueError, match="fisher: expected a positive semidefinite matrix, got one with eigenvalue -1"):
        E.natural(pw(), np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match="fisher: expected a symmetric matrix"):
        E.natural(pw(), [[1.0, 0.5], [0.0, 1.0]])
    with pytest.raises(ValueError, match=r"fisher: expected shape \(8, 8\), got \(2, 2\)"):
        mg.sample(problem, theta, {"x": E.natural(pw(), np.eye(2))}, 10)
    with pytest.raises(ValueError, match="problem: expected a Problem"):
        fisher("problem", theta, 10)
    still, theta = w1(horizon=3, std=0.0)
    with pytest.raises(ValueError, match="no score function here"):
        fisher(still, theta, 10)
    with pytest.raises(mg.exact.NoClosedForm):
        exact_fisher(*pendulum(3), work=0)
    case, theta = reference_problem(next(c for c in CASES if c["id"] == "S02")["system"])
    with pytest.raises(mg.exact.NoClosedForm, match="covariances between parameters"):
        mg.exact.variance(case, theta, E.natural(E.measure_valued()), work=0)
