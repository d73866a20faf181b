"""The recursion as a theory: every question falls through to it; against closed forms where both exist, and measurement."""

import numpy as np
import pytest

import mcgrad as mg
from mcgrad.exact import algebra
from mcgrad.exact.answers import WORK, truth_within
from mcgrad.exact.recursion.refine import checked_options
from mcgrad.exact.recursion.theory import Recursion
from mcgrad.exact.theories import theory_of

e, b = mg.estimators, mg.baselines
COUNT = 40_000


def linear():
    lq = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    return mg.Problem(lq, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=4, discount=0.9), [-0.6]


def plane(horizon=3):
    """Two parameters of one gain each: what is asked for all pairs of parameters has off-diagonals."""
    system = mg.environments.linear_quadratic(
        [[0.9, 0.1], [0.0, 0.8]], [[0.1], [0.5]], np.eye(2), [[0.1]], process_noise=0.04 * np.eye(2)
    )
    return mg.Problem(system, mg.policies.linear_gaussian(2, 1, std=0.4), horizon=horizon), [-0.2, -0.5]


def walk():
    return mg.Problem(mg.environments.random_walk(4), mg.policies.softmax(4, 2), horizon=3), np.linspace(-0.5, 0.5, 8)


def well(horizon=6):
    policy = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    return mg.Problem(mg.environments.double_well(), policy, horizon=horizon), [-0.3, 0.5]


def recursion(problem, theta, work=20.0):
    return Recursion(problem, problem.theta(theta), checked_options(problem, 1e-5, None, work), truth_within(WORK))


CONTROLLED = e.control_variate(e.reward_to_go(), [e.score(), e.difference(e.reward_to_go(), e.reward_to_go(b.value()))])
FULL = e.control_variate(e.score_function(), e.score(), full=True)

# Every question that the recursion answers, by its public name: of a theory, and of a problem.
QUESTIONS = {
    "objective": lambda x: x.objective,
    "gradient": lambda x: x.gradient(),
    "mean_return_to_go": lambda x: x.mean_return_to_go(),
    "naive_optimal_over_time": lambda x: x.naive_over_time(),
    "fisher": lambda x: x.fisher(),
    "natural_gradient": lambda x: x.natural_gradient(),
    "mean": lambda x: algebra.mean(x, e.score_function(b.mean_return())),
    "variance": lambda x: algebra.variance(x, e.reward_to_go(b.mean_to_go())),
    "covariance": lambda x: algebra.covariance(x, e.reward_to_go(b.value()), e.score_function()),
    "covariance_matrix": lambda x: algebra.covariance_matrix(x, e.reward_to_go(), e.score_function()),
    "coefficients": lambda x: algebra.coefficients(x, CONTROLLED),
    "coefficients, full": lambda x: algebra.coefficients(x, FULL),
    "optimal_over_time": lambda x: algebra.optimal_over_time(x, e.reward_to_go()),
    "total_optimal_over_time": lambda x: algebra.total_optimal_over_time(x, e.score_function()),
    "total_optimal_constant": lambda x: algebra.total_optimal_constant(x, e.reward_to_go(b.value())),
    "hessian_vector_product": lambda x: x.hessian_vector_product(np.linspace(1.0, 2.0, x.parameters)),
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("make", [linear, plane, walk])
def test_the_recursion_has_what_closed_forms_have(make, name):
    problem, theta = make()
    known, question = theory_of(problem, theta), QUESTIONS[name]
    try:
        exact = question(known)
    except mg.exact.NoClosedForm:
        pytest.skip("no closed form")
    found = question(recursion(problem, theta))
    np.testing.assert_allclose(found, exact, rtol=1e-10, atol=1e-10 * np.abs(exact).max())


def drawn(problem, theta):
    """Return scores z (N, T, P) and rewards to go G (N, T) of trajectories on the double well."""
    path = mg.rollout(problem, theta, COUNT, 1, machine="numpy")
    features = np.stack([path.states[:, :-1, 0], np.ones_like(path.states[:, :-1, 0])], axis=2)
    z = features * (path.actions - features @ np.array(theta)[:, None]) / 0.5**2
    return z, np.cumsum(path.rewards[:, ::-1], axis=1)[:, ::-1]


def statistics(problem, theta, z, G, wrong=1.0):
    """Yield (name, numbers of each trajectory whose mean is zero if an exact value, times `wrong`, is right)."""

    def known(name, *estimators):
        return wrong * getattr(mg.exact, name)(problem, theta, *estimators)

    to_go, score = e.reward_to_go(), e.score()
    x, Z = np.einsum("ntp,nt->np", z, G), z.sum(axis=1)
    yield "objective", G[:, 0] - known("objective")
    less = np.einsum("ntp,nt->np", z, G - G.mean(axis=0))  # the same mean, less noise
    yield "gradient", less - known("gradient")
    yield "mean_return_to_go", G - known("mean_return_to_go")
    yield "fisher", np.einsum("np,nq->npq", Z, Z) - known("fisher")
    yield "natural_gradient", less - np.einsum("np,nq,q->np", Z, Z, known("natural_gradient"))
    yield "covariance_matrix", np.einsum("np,nq->npq", x, Z) - known("covariance_matrix", to_go, score)
    yield "coefficients", x * Z - known("coefficients", e.control_variate(to_go, score))[0] * Z**2
    yield "optimal_over_time", x[:, None] * z - known("optimal_over_time", to_go) * z**2
    yield "naive_optimal_over_time", z**2 * (G[:, :, None] - known("naive_optimal_over_time"))
    b_t = known("total_optimal_over_time", to_go)[:, None]
    yield "total_optimal_over_time", (x[:, None] * z - b_t * z**2).sum(axis=2)
    yield "total_optimal_constant", (x * Z - known("total_optimal_constant", to_go) * Z**2).sum(axis=1)


def worst(numbers):
    return np.max(np.abs(numbers.mean(axis=0)) / (numbers.std(axis=0) / np.sqrt(COUNT) + 1e-12))


def test_every_question_is_answered_on_the_double_well():
    problem, theta = well(4)[0], [0.5, 1.5]
    z, G = drawn(problem, theta)
    for name, numbers in statistics(problem, theta, z, G):
        assert worst(numbers) < 5, name
    for name, numbers in statistics(problem, theta, z, G, wrong=1.5):  # and a wrong one would be seen
        assert worst(numbers) > 5, name
    assert mg.exact.value(problem, theta).objective == pytest.approx(mg.exact.objective(problem, theta), rel=1e-5)


def test_baselines_and_combinations_ask_there_too():
    problem, theta = well()
    chosen = {
        "mean return": e.score_function(b.mean_return()),
        "mean to go": e.reward_to_go(b.mean_to_go()),
        "optimal over time": e.reward_to_go(b.optimal_over_time()),
        "total constant": e.score_function(b.total_optimal_constant()),
        "natural": e.natural(e.reward_to_go()),
    }  # fmt: skip
    found = mg.measure(
        problem, theta, {k: x for k, x in chosen.items() if k != "natural"}, COUNT, machine="numpy", progress=False
    )
    for name, x in chosen.items():
        variance = mg.exact.variance(problem, theta, x)
        if name in found.names:
            assert np.all(np.abs(found[name].variance - variance) < 5 * found[name].variance_stderr), name
    inverse = np.linalg.inv(mg.exact.fisher(problem, theta))
    cov = mg.exact.covariance_matrix(problem, theta, e.reward_to_go())
    np.testing.assert_allclose(variance, np.diag(inverse @ cov @ inverse.T), rtol=1e-4)


def test_work_and_reasons():
    problem, theta = well()
    for name in ("objective", "gradient", "fisher", "mean_return_to_go", "value"):
        with pytest.raises(
            mg.exact.NoClosedForm, match="^no closed form is known for double well[^;]*; it is not[^;]*$"
        ):
            getattr(mg.exact, name)(problem, theta, work=0)
        with pytest.raises(mg.exact.NoClosedForm, match=r"within work=1e-06"):
            getattr(mg.exact, name)(problem, theta, work=1e-6)
    with pytest.raises(ValueError, match="^work: expected"):
        mg.exact.variance(problem, theta, e.score(), work=-1)
    with pytest.raises(mg.exact.NoClosedForm) as caught:
        mg.exact.variance(problem, theta, e.score_function(b.mean_return()), work=1e-6)
    assert str(caught.value).count("no closed form is known for double well") == 1
    for name in ("optimum", "average_reward", "efficiency_bound"):
        with pytest.raises(mg.exact.NoClosedForm, match="no closed form is known for double well"):
            getattr(mg.exact, name)(problem, theta)
    still = mg.Problem(
        mg.environments.double_well(),
        mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.0),
        horizon=3,
    )
    with pytest.raises(mg.exact.NoClosedForm, match="as the mean of reward_to_go.*mean of reparameterization"):
        mg.exact.gradient(still, theta)


def test_differences_in_several_parameters_are_one_pair_of_rollouts_after_the_other():
    """Four perturbed states at once would be too many for a grid; two at a time are not, if nobody asks for all at once."""
    problem, theta = plane(2)
    x = e.finite_differences(0.1, 2)
    found, known = mg.exact.moments(problem, theta, {"x": x})["x"], mg.exact.variance(problem, theta, x, work=0)
    np.testing.assert_allclose(found.variance, known, rtol=1e-9)
    problem, theta = well(3)
    variance = mg.exact.moments(problem, theta, {"x": x}, tolerance=1e-3)["x"].variance
    sample = mg.measure(problem, theta, {"x": x}, COUNT, progress=False, machine="numpy")["x"]
    assert np.all(np.abs(sample.variance - variance) < 5 * sample.variance_stderr)
    with pytest.raises(mg.exact.NoClosedForm, match="4 states, which are too many for a grid"):
        mg.exact.covariance_matrix(problem, theta, x)


def test_directions_are_paid_for_before_they_are_gone_in():
    problem, theta = well(3)
    x = e.evolution_strategies(0.1)
    with pytest.raises(mg.exact.NoClosedForm, match="64 directions of theta are more than work=1; allow more work"):
        mg.exact.moments(problem, theta, {"x": x}, work=1)
    policy = mg.policies.linear_features(lambda s: (1.0,), 1, 1, std=0.5)
    problem, theta = mg.Problem(mg.environments.double_well(), policy, horizon=3), [0.5]
    variance = mg.exact.moments(problem, theta, {"x": x}, tolerance=1e-3)["x"].variance
    sample = mg.measure(problem, theta, {"x": x}, COUNT, progress=False, machine="numpy")["x"]
    assert np.all(np.abs(sample.variance - variance) < 5 * sample.variance_stderr)
    assert np.all(np.abs(sample.variance - 1.2 * variance) > 5 * sample.variance_stderr)


def test_the_pilot_of_an_alpha_order_gradient_counts():
    """Its epsilon is that of so many trajectories: none of first order where they are too few, else as much as is free."""
    problem, theta = linear()
    path, score = e.reparameterization(), e.reward_to_go()
    free = mg.exact.variance(problem, theta, e.alpha_order(path, score, float("inf")))
    V = [mg.exact.variance(problem, theta, x) for x in (path, score)]
    alpha = V[1] / (V[0] + V[1])
    fixed = mg.exact.variance(problem, theta, e.alpha_order(path, score, 1.0, alpha=alpha[0]))
    np.testing.assert_allclose(free, fixed, rtol=1e-10)
    few = mg.exact.variance(problem, theta, e.alpha_order(path, score, 0.1, pilot=16))
    np.testing.assert_allclose(few, V[1], rtol=1e-10)
