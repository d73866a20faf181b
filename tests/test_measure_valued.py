"""Measure-valued derivatives: branches and critics against the reference, on every machine, and where they do not exist."""

import numpy as np
import pytest
from support import CASES, reference_problem, standard_errors, stopped, w1

import mcgrad as mg
from mcgrad.compiler import noise

mvd, exact_critic = mg.estimators.measure_valued, mg.critics.exact
DIAGONAL = [c for c in CASES if "mvd_crn" in c["estimators"]]
ALL = {
    "all": mvd(),
    "all apart": mvd("independent"),
    "one": mvd(times="one"),
    "one apart": mvd("independent", "one"),
    "critic": mvd(critic=exact_critic()),
    "wrong": mvd(critic=exact_critic().wrong(scale=1.2, shift=3.0)),
}


def case(case_id):
    return next(c for c in CASES if c["id"] == case_id)["system"]


@pytest.mark.parametrize("case", DIAGONAL, ids=lambda c: c["id"])
def test_branches_and_critics_agree_with_the_reference(case, seed):
    problem, theta = reference_problem(case["system"], learn_std=False)
    chosen = {"mvd_crn": mvd(), "mvd_indep": mvd("independent"), "mvd_critic": mvd(critic=exact_critic())}
    found = mg.measure(problem, theta, chosen, 100_000, seed)
    for key, estimator in chosen.items():
        mean, variance = (np.array(case["estimators"][key][x]) for x in ("mean", "var"))
        np.testing.assert_allclose(mg.exact.mean(problem, theta, estimator), mean, rtol=1e-9)
        np.testing.assert_allclose(mg.exact.variance(problem, theta, estimator), variance, rtol=1e-9, atol=1e-9)
        assert standard_errors(found[key], mean, variance) < 5, key
    rollouts = 2 * problem.environment.actions * problem.horizon
    assert [found[key].rollouts for key in chosen] == [1 + rollouts, 1 + rollouts, 1]


@pytest.mark.parametrize("case_id", ["S02", "S10"])
def test_one_branching_time_and_learned_scales(case_id, seed):
    """With theta = (K, log std): pairs for the means and for the scales, at all times and at one."""
    problem, theta = reference_problem(case(case_id))
    found = mg.measure(problem, theta, ALL, 200_000, seed)
    exact = {name: mg.exact.variance(problem, theta, x) for name, x in ALL.items()}
    for name, estimator in ALL.items():
        assert standard_errors(found[name], mg.exact.mean(problem, theta, estimator), exact[name]) < 5, name
    m = problem.environment.actions
    assert (found["one"].rollouts, found["all"].rollouts) == (1 + 4 * m, 1 + 4 * m * problem.horizon)
    # The variances are far enough apart for this to say something: none of them is taken for another.
    gradient = mg.exact.gradient(problem, theta)
    for name, other in (("one", "all"), ("all apart", "all"), ("one apart", "one"), ("critic", "all")):
        assert standard_errors(found[name], gradient, exact[other]) > 10, (name, other)
    # A weight of T - 1 for T would be seen in the mean.
    assert np.max(np.abs((1 - 1 / problem.horizon) * gradient - found["one"].mean) / found["one"].stderr) > 5


def test_one_step_costs_have_known_variances(seed):
    """A bandit of Mohamed et al., gradients in mean and std: theta holds the std itself."""
    problem, theta = mg.Problem(mg.environments.cosine_cost(1.58), mg.policies.gaussian(1), 1), [1.0, 1.3]
    found = mg.measure(problem, theta, {"MVD": mvd(), "one": mvd(times="one")}, 400_000, seed)
    mean, variance = mg.exact.gradient(problem, theta), mg.exact.variance(problem, theta, mvd())
    assert standard_errors(found["MVD"], mean, variance) < 5
    assert standard_errors(found["one"], mean, variance) < 5
    assert standard_errors(found["MVD"], mean, variance * [1.0, 1.03]) > 5


def test_machines_agree_on_branches():
    problem, theta = reference_problem(case("S02"))
    expected = mg.sample(problem, theta, ALL | {"rtg": mg.estimators.reward_to_go()}, 20, seed=2, machine="numpy")
    alone = mg.sample(problem, theta, {"rtg": mg.estimators.reward_to_go()}, 20, seed=2, machine="numpy")["rtg"]
    np.testing.assert_allclose(expected["rtg"], alone, rtol=1e-12)
    # Numba takes its time over the text of many branches: one of them speaks for the scalar machine.
    for machine, names in (("simd", list(ALL)), ("scalar", ["one apart"])):
        found = mg.sample(problem, theta, {name: ALL[name] for name in names}, 20, seed=2, machine=machine)
        for name in names:
            np.testing.assert_allclose(
                found[name], expected[name], rtol=1e-10, atol=1e-11 * np.abs(expected[name]).max()
            )


def test_branches_by_hand():
    """One step: the difference of two rewards, with the W that the pathwise and the measure-valued gradient do not share."""
    problem, theta = w1(horizon=1)
    path = mg.rollout(problem, theta, 50, seed=3, machine="numpy")
    found = mg.sample(problem, theta, {"mvd": mvd()}, 50, seed=3, machine="numpy")["mvd"].reshape(50, 2, 4)
    s = path.states[:, 0]
    mu = s @ theta.reshape(2, 4).T
    # r = -(s^T s + .1 a^T a): the difference is -.1 ((mu + sigma W)^2 - (mu - sigma W)^2) = -.4 sigma mu W.
    W = found[:, :, 0] / (-0.4 * mu * s[:, :1] / np.sqrt(2 * np.pi))
    np.testing.assert_allclose(found, (-0.4 * mu * W / np.sqrt(2 * np.pi))[:, :, None] * s[:, None, :], rtol=1e-9)
    assert (W > 0).all()
    assert abs(np.mean(W**2) - 2.0) < 5 * 2.0 / np.sqrt(100)


OF_EPISODES = {"SF": mg.estimators.reward_to_go(1.0), "apart": mvd("independent", "one")}
OF_EPISODES |= {name: ALL[name] for name in ("one", "all")}


def lone_branches(problem, theta, count, seed):
    """Branches at one random time on common noise, trajectory by trajectory, in plain Python."""
    T, std, out = problem.horizon, 0.7, []
    path = mg.rollout(problem, theta, count, seed, machine="numpy")
    apart = noise.stream(np.arange(count, dtype=np.uint64), 12)
    x, y = noise.normal_pair_numpy(seed, apart, 0xFFFFFFFD, 0)
    tau = np.floor(T * noise.uniform_numpy(seed, apart, 0xFFFFFFFD, 4)).astype(int)

    def rest(k, t, first_e):
        s, total = path.states[k, t, 0], 0.0
        for j in range(t, T):
            if abs(s) > 1.2:
                return total
            e = first_e if j == t else path.noise.action[k, j, 0]
            a = theta[0] * s + std * e
            s_next = 1.1 * s + 0.5 * a + 0.3 * path.noise.process[k, j, 0]
            total += 0.9**j * (1.0 - 0.3 * s**2 - 0.1 * s_next * a)
            s = s_next
        return total + (0.9**T * 2.0 * s if abs(s) <= 1.2 else 0.0)

    for k in range(count):
        W, t = np.hypot(x[k], y[k]), tau[k]
        alive = t < path.lengths[k]
        difference = rest(k, t, W) - rest(k, t, -W) if alive else 0.0
        out.append(T * path.states[k, t, 0] * difference / (std * np.sqrt(2 * np.pi)))
    return np.array(out), tau


def test_lone_branches_of_episodes_by_hand():
    """A branch may outlive the main rollout, and end before it."""
    problem, theta = stopped(7)
    expected, tau = lone_branches(problem, theta, 60, seed=5)
    assert set(tau) == set(range(7))
    assert (expected == 0.0).any()
    assert (expected != 0.0).any()
    for machine in ("numpy", "simd"):
        found = mg.sample(problem, theta, OF_EPISODES, 60, seed=5, machine=machine)["one"][:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_branches_of_episodes_are_unbiased(seed):
    problem, theta = stopped(7)
    found = mg.measure(problem, theta, OF_EPISODES, 200_000, seed)
    for name in ("one", "apart", "all"):
        error = np.hypot(found[name].stderr, found["SF"].stderr)
        assert abs(found[name].mean - found["SF"].mean) < 5 * error, name


def test_other_horizons_and_data_share_a_kernel():
    from mcgrad.kernels.program import gradient_program
    from mcgrad.prepare import prepare

    chosen = prepare({"MVD": mvd(times="one"), "critic": mvd(critic=exact_critic())})
    kernels = {gradient_program(*w1(horizon=T, std=std), chosen).kernel for T, std in ((3, 0.3), (5, 0.2))}
    assert len(kernels) == 1


def test_where_they_do_not_exist():
    problem, theta = reference_problem(case("S07"))
    with pytest.raises(ValueError, match="measure-valued derivatives are there for a Gaussian policy with independent"):
        mg.measure(problem, theta, {"mvd": mvd()}, 10)
    with pytest.raises(ValueError, match="branches: expected 'common' or 'independent'"):
        mvd("critic")
    with pytest.raises(ValueError, match="times: expected 'all' or 'one', got str 'two'"):
        mvd(times="two")
    with pytest.raises(ValueError, match="critic: expected None with independent branches or one time"):
        mvd(times="one", critic=exact_critic())
    with pytest.raises(ValueError, match=r"critic: expected one of mcgrad\.critics"):
        mvd(critic=1.0)
    problem, theta = w1(horizon=2)
    for estimator in (mvd(), mvd(times="one"), mvd(critic=exact_critic())):
        with pytest.raises(ValueError, match="antithetic or perturbed rollouts are not supported"):
            mg.sample(problem, theta, {"pair": mg.estimators.antithetic(estimator)}, 10, machine="numpy")
    oscillating = mvd(critic=exact_critic().wrong(oscillation=(0.1, 3.0)))
    assert np.isfinite(mg.sample(problem, theta, {"mvd": oscillating}, 10, machine="numpy")["mvd"]).all()
    with pytest.raises(mg.exact.NoClosedForm, match="no closed form is known here with exact"):
        mg.exact.variance(problem, theta, oscillating, work=0)
