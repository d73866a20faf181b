"""Critics and tuned baselines: the reference systems exactly and by measurement, and what holds with a wrong critic."""

import dataclasses

import numpy as np
import pytest
from environments_of_tests import pendulum
from support import CASES, reference_problem, standard_errors, symmetric, w1
from test_lq_cases import _first, reference

import mcgrad as mg
from mcgrad import baselines, critics, estimators
from mcgrad.critics.exact_critic import Exact

COUNT = 400_000
rtg = estimators.reward_to_go


def chosen():
    """Return {key of the reference: estimator}."""
    return {
        "Q": estimators.q_function(),
        "A": estimators.advantage(),
        "gae(0)": estimators.generalized_advantage(0.0),
        "gae(0.9)": estimators.generalized_advantage(0.9),
        "qcv": estimators.action_control_variate(),
        "qprop": estimators.action_control_variate(first_order=True),
        "aa": estimators.all_actions(),
        "svg0": estimators.value_gradient(),
        "total_bJ": estimators.score_function(baselines.mean_return()),
        "total_boptK": estimators.score_function(baselines.total_optimal_constant()),
        "rtg_bJ": rtg(baselines.mean_return()),
        "rtg_btmean": rtg(baselines.mean_to_go()),
        "rtg_btnaive": rtg(baselines.naive_optimal_over_time()),
        "rtg_btopt": rtg(baselines.optimal_over_time()),
        "rtg_btoptK": rtg(baselines.total_optimal_over_time()),
        "rtg_boptK": rtg(baselines.total_optimal_constant()),
        "rtg_V_bopt": rtg(baselines.optimal_constant(base=baselines.value())),
        "rtg_V_btopt": rtg(baselines.optimal_over_time(base=baselines.value())),
        "rtg_qopt": rtg(baselines.optimal_quadratic()),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_exact_values_agree_with_the_reference(case):
    problem, theta = reference_problem(case["system"])
    for key, estimator in chosen().items():
        mean, variance = reference(case, key)
        exact = mg.exact.variance(problem, theta, estimator)[: len(variance)]
        floor = 1e-12 * np.max(mean**2)
        np.testing.assert_allclose(exact, variance, rtol=1e-9, atol=floor, err_msg=key)
        exact = mg.exact.mean(problem, theta, estimator)[: len(mean)]
        np.testing.assert_allclose(exact, mean, rtol=1e-9, err_msg=key)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_measured_values_agree_with_the_reference(case, seed):
    problem, theta = reference_problem(case["system"])
    found = mg.measure(problem, theta, chosen(), COUNT, seed)
    for key in found.names:
        mean, variance = reference(case, key)
        assert standard_errors(_first(found[key], len(mean)), mean, variance) < 5, key


# ---- identities, sample by sample ------------------------------------------------------------------------------


def samples(problem, theta, chosen, count=50):
    return mg.sample(problem, theta, chosen, count, seed=3, machine="numpy")


def case(name):
    return reference_problem(next(c for c in CASES if c["id"] == name)["system"])


def quiet(problem):
    """Return a linear-quadratic problem without its process noise."""
    matrices = problem.environment.closed_form._asdict()
    matrices["process_noise"] = None
    return dataclasses.replace(problem, environment=mg.environments.linear_quadratic(**matrices))


@pytest.mark.parametrize("name", ["S02", "S07", "S10"])
def test_without_process_noise_the_critic_knows_all(name):
    """delta_t = A_t, so gae(0) is the exact advantage, and the trajectory-wise control variate leaves all actions."""
    problem, theta = case(name)
    found = samples(
        quiet(problem),
        theta,
        {
            "gae(0)": estimators.generalized_advantage(0.0),
            "A": estimators.advantage(),
            "traj": estimators.trajectory_control_variate(),
            "aa": estimators.all_actions(),
            "svg0": estimators.value_gradient(),
            "svg1": estimators.short_horizon(1),
        },
    )
    for one, two in (("gae(0)", "A"), ("traj", "aa"), ("svg0", "svg1")):
        np.testing.assert_allclose(found[one], found[two], rtol=1e-7, atol=1e-7, err_msg=one)


def test_without_exploration_all_actions_are_the_mean_action():
    problem, theta = w1(horizon=6, std=0.0)
    chosen = {"aa": estimators.all_actions(), "svg0": estimators.value_gradient(), "sh": estimators.short_horizon(2)}
    found = samples(problem, theta, chosen)
    np.testing.assert_allclose(found["aa"], found["svg0"], rtol=1e-10, atol=1e-12)
    assert np.isfinite(found["sh"]).all()
    for name, estimator in chosen.items():
        assert np.isfinite(mg.exact.variance(problem, theta, estimator)).all(), name
    with pytest.raises(ValueError, match="score"):
        samples(problem, theta, {"A": estimators.advantage()})


# ---- unbiased on random systems ----------------------------------------------------------------------------------


def random_problem(seed, n=2, m=2, horizon=4):
    """Return (problem, theta): noncentral, discounted, terminal cost, correlated noise, indefinite costs."""
    rng = np.random.default_rng(seed)

    def cov(k, size):
        root = rng.normal(size=(k, k)) * np.sqrt(size / k)
        return root @ root.T

    def cost(k):
        return symmetric(rng.normal(size=(k, k)) / 2 + np.eye(k))

    environment = mg.environments.linear_quadratic(
        0.6 * rng.normal(size=(n, n)),
        rng.normal(size=(n, m)),
        cost(n),
        cost(m),
        terminal_cost=cost(n),
        process_noise=cov(n, 0.2),
        initial_mean=rng.normal(size=n),
        initial_cov=cov(n, 0.5),
    )
    policy = mg.policies.linear_gaussian(n, m, cov=cov(m, 0.2) + 0.1 * np.eye(m), learn_std=True)
    return mg.Problem(environment, policy, horizon, 0.9), policy.theta(0.4 * rng.normal(size=(m, n)))


WRONG = critics.exact().wrong(scale=0.6, shift=2.0)
OSCILLATING = critics.exact().wrong(scale=0.9, shift=-1.0, oscillation=(0.7, 2.0))


def everything():
    """Return estimators that are unbiased, those with a wrong critic among them."""
    keys = ("Q", "A", "gae(0.9)", "qcv", "qprop", "aa", "svg0", "rtg_V_btopt", "rtg_qopt")
    found = {key: chosen()[key] for key in keys}
    found["traj"] = estimators.trajectory_control_variate()
    found["sh2"] = estimators.short_horizon(2)
    for name, critic in (("wrong", WRONG), ("oscillating", OSCILLATING)):
        found[f"gae(1) {name}"] = estimators.generalized_advantage(1.0, critic)
        found[f"rtg {name}"] = rtg(critic)
        found[f"qcv {name}"] = estimators.action_control_variate(critic)
        found[f"qprop {name}"] = estimators.action_control_variate(critic, first_order=True)
        found[f"traj {name}"] = estimators.trajectory_control_variate(critic)
    return found


def test_unbiased_on_random_systems(seed):
    """z = (mean - exact) / stderr over 20 systems and 6 parameters: none is large, and none drifts.

    The sum of the z of one estimator and parameter has standard deviation sqrt(20): a bias of one standard error of one
    measurement, in all systems alike, would be seen.
    """
    z, systems = {}, 20
    for k in range(systems):
        problem, theta = random_problem(k)
        exact = mg.exact.gradient(problem, theta)
        found = mg.measure(problem, theta, everything(), 20_000, seed + k, progress=False)
        for name in found.names:
            spread = np.maximum(found[name].stderr, 1e-12 * np.abs(exact))
            z.setdefault(name, []).append((found[name].mean - exact) / spread)
    for name, values in z.items():
        values = np.array(values)
        assert np.abs(values).max() < 5.5, name
        assert np.abs(values.sum(axis=0)).max() < 4.5 * np.sqrt(systems), name


# ---- wrong critics ------------------------------------------------------------------------------------------------


def oscillation_bias(problem, theta, amplitude, frequency):
    """Return sum_t d/dtheta E[amplitude sum_i cos(frequency a_i)] at a fixed law of s_t, by the characteristic function."""
    s = mg.exact.system(problem, theta)
    mean, cov, T = s.mean, s.cov, s.horizon
    gain, scales = np.zeros(s.K.shape), np.zeros(s.actions)
    variances = np.diag(s.policy_cov)
    for _ in range(T):
        for i, k in enumerate(s.K):
            # E[exp(i f k's)] and E[s exp(i f k's)]
            phase = np.exp(1j * frequency * (k @ mean) - 0.5 * frequency**2 * (k @ cov @ k + variances[i]))
            gain[i] += -amplitude * frequency * ((mean + 1j * frequency * (cov @ k)) * phase).imag
            scales[i] += -amplitude * frequency**2 * variances[i] * phase.real
        mean, cov = s.closed @ mean, s.closed @ cov @ s.closed.T + s.noise @ s.noise.T
    return np.append(gain.ravel(), scales)


@pytest.mark.parametrize("name", ["S02", "S07"])
def test_wrong_critics_bias_what_they_should(name, seed):
    problem, theta = case(name)
    amplitude, frequency = 2.0, 3.0
    oscillating = critics.exact().wrong(scale=0.8, oscillation=(amplitude, frequency))
    chosen = {
        "Q": estimators.q_function,
        "A": estimators.advantage,
        "aa": estimators.all_actions,
        "svg0": estimators.value_gradient,
    }
    pairs = {f"{key} wrong": make(WRONG) for key, make in chosen.items()}
    pairs |= {f"{key} oscillating": make(oscillating) for key, make in chosen.items()}
    pairs |= {f"gae({x})": estimators.generalized_advantage(x, WRONG) for x in (0.0, 0.5)}
    pairs["qcv"] = estimators.action_control_variate(WRONG)
    pairs["qprop"] = estimators.action_control_variate(WRONG, first_order=True)
    pairs["traj"] = estimators.trajectory_control_variate(WRONG)
    pairs["gae(1)"] = estimators.generalized_advantage(1.0, WRONG)
    found = mg.measure(problem, theta, pairs, COUNT, seed)
    gradient = mg.exact.gradient(problem, theta)
    for key, estimator in pairs.items():
        if "oscillating" in key:
            mean = 0.8 * gradient + oscillation_bias(problem, theta, amplitude, frequency)
            variance = found[key].variance  # no closed form
        else:
            mean = mg.exact.mean(problem, theta, estimator)
            try:
                variance = mg.exact.variance(problem, theta, estimator, work=0)
            except mg.exact.NoClosedForm:
                variance = found[key].variance
        assert standard_errors(found[key], mean, variance) < 5, key
        unbiased = key in ("qcv", "qprop", "traj", "gae(1)")
        assert (np.abs(mean - gradient).max() > 5 * found[key].stderr.max()) != unbiased, key


def test_a_slope_that_oscillates_hurts_value_gradients_more(seed):
    """An error of 0.1 at frequency 40 leaves q_function alone and ruins the value gradient (Carvalho et al. 2021)."""
    problem, theta = case("S02")
    oscillating = critics.exact().wrong(oscillation=(0.1, 40.0))
    chosen = {
        "A": estimators.advantage(),
        "A~": estimators.advantage(oscillating),
        "svg0": estimators.value_gradient(),
        "svg0~": estimators.value_gradient(oscillating),
    }
    found = mg.measure(problem, theta, chosen, 50_000, seed)
    assert found["A~"].variance[0] < 1.1 * found["A"].variance[0]
    assert found["svg0~"].variance[0] > 2 * found["svg0"].variance[0]


def test_power_of_these_tests(seed):
    """A critic wrong by 2 %, one step out of date, or that forgets the discount is caught."""
    problem, theta = case("S02")
    exact = mg.exact.gradient(problem, theta)

    class Late(Exact):
        def data(self, problem, theta):
            data = super().data(problem, theta)
            return {k: mg.estimators.PerStep(np.roll(x.values, 1, axis=0)) for k, x in data.items()}

    undiscounted = dataclasses.replace(problem, discount=1.0)

    class Forgetful(Exact):
        def data(self, problem, theta):
            return super().data(undiscounted, theta)

    pairs = {
        "2 %": estimators.value_gradient(critics.exact().wrong(scale=1.02)),
        "late": estimators.all_actions(Late()),
        "forgetful": estimators.advantage(Forgetful()),
    }
    found = mg.measure(problem, theta, pairs, COUNT, seed)
    for name in pairs:
        assert np.max(np.abs(found[name].mean - exact) / np.maximum(found[name].stderr, 1e-9)) > 5, name


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_errors():
    for make in (
        estimators.q_function,
        estimators.all_actions,
        estimators.value_gradient,
        estimators.action_control_variate,
        estimators.trajectory_control_variate,
    ):
        with pytest.raises(ValueError, match="critic: expected one of mcgrad.critics, got"):
            make(baselines.value())
    with pytest.raises(ValueError, match="critic: expected one of mcgrad.critics, or a baseline"):
        estimators.generalized_advantage(0.5, 3.0)
    with pytest.raises(ValueError, match="critic: expected"):
        estimators.generalized_advantage(0.5, baselines.optimal_quadratic())
    with pytest.raises(ValueError, match="decay"):
        estimators.generalized_advantage(1.5)
    with pytest.raises(ValueError, match="steps"):
        estimators.short_horizon(0)
    with pytest.raises(ValueError, match="oscillation"):
        critics.exact().wrong(oscillation=3.0)


def test_no_closed_form_says_why():
    problem, theta = w1(horizon=3)
    for estimator in (
        estimators.q_function(OSCILLATING),
        estimators.action_control_variate(OSCILLATING),
        estimators.short_horizon(2, OSCILLATING),
        estimators.generalized_advantage(0.5, OSCILLATING),
    ):
        with pytest.raises(mg.exact.NoClosedForm, match="no closed form"):
            mg.exact.variance(problem, theta, estimator, work=0)
    problem, theta = pendulum(horizon=3)  # under a policy of the user's own
    with pytest.raises(ValueError, match="critic: without a closed form it is there for Gaussian policies"):
        mg.sample(problem, theta, {"A": estimators.advantage()}, 2)


@dataclasses.dataclass(frozen=True, eq=False)
class OnlyAdvantage(mg.critics.Critic):
    """A user's critic that defines what `advantage` needs, and no more."""

    def value(self, c, x):
        return -(x.s[0] ** 2)

    def advantage(self, c, x):
        return x.score[0] * x.s[0]


@pytest.mark.parametrize(
    ("estimator", "method"),
    [
        (mg.estimators.all_actions, "expected_score"),
        (mg.estimators.value_gradient, "action_gradient"),
        (mg.estimators.action_control_variate, "expected_score"),
        (mg.estimators.doubly_robust, "news_data"),
    ],
)
def test_what_a_critic_leaves_out_is_named(estimator, method):
    lq = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]])
    problem = mg.Problem(lq, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=3)
    with pytest.raises(ValueError, match=rf"critic: expected one that defines {method}\(\), .* got OnlyAdvantage"):
        mg.measure(problem, [-0.6], {"x": estimator(OnlyAdvantage())}, 10)
