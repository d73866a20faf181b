"""Estimators that compare rollouts: antithetic noise, perturbed parameters."""

import numpy as np
import pytest
from support import CASES, reference_problem, standard_errors, w1

import mcgrad as mg
from mcgrad.compiler.noise import PARAMETERS, normal_pair_numpy
from mcgrad.exact.linear_quadratic import values
from mcgrad.exact.linear_quadratic.covariances import return_variance
from mcgrad.kernels.program import gradient_program

e = mg.estimators
sf, rtg, pw, value = e.score_function, e.reward_to_go, e.reparameterization, mg.baselines.value
COUNT = 400_000


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_antithetic_pairs_agree_with_the_reference(case, seed):
    problem, theta = reference_problem(case["system"])
    chosen = {
        f"anti_{key}({name})": e.antithetic(x, flip)
        for key, flip in (("all", "all"), ("eps", "actions"))
        for name, x in (("total", sf()), ("rtg", rtg()), ("rtg_V", rtg(value())), ("pw", pw()))
    }
    found = mg.measure(problem, theta, chosen, COUNT // 4, seed)
    for key, estimator in chosen.items():
        entry = case["estimators"][key]
        ours = [i for i, name in enumerate(entry["params"]) if name != "ls"]
        mean, variance = np.array(entry["mean"])[ours], np.array(entry["var"])[ours]
        exact = mg.exact.variance(problem, theta, estimator)
        np.testing.assert_allclose(exact, variance, rtol=1e-9, atol=1e-12 * np.max(mean**2), err_msg=key)
        assert standard_errors(found[key], mean, variance) < 5, key
        assert found[key].rollouts == 2


def test_mirrored_rollouts_of_a_centred_system_gain_nothing():
    problem, theta = w1(horizon=6)
    found = mg.sample(problem, theta, {"PW": pw(), "pair": e.antithetic(pw())}, 100, machine="numpy")
    np.testing.assert_allclose(found["pair"], found["PW"], rtol=1e-12, atol=1e-12)


def scalar(case_id="S02", **options):
    return reference_problem(next(c for c in CASES if c["id"] == case_id)["system"], **options)


def returns(problem, theta, count, start=0):
    path = mg.rollout(problem, theta, count, seed=4, start=start, machine="numpy")
    weights = problem.weights()
    return path.rewards @ weights[:-1] + path.terminal * weights[-1]


def test_perturbed_rollouts_are_those_of_perturbed_parameters():
    """Each formula from rollouts at perturbed parameters, trajectory by trajectory, on every machine."""
    problem, theta = scalar()
    P, h, count = 2, 0.05, 6
    i = np.arange(count, dtype=np.uint64)
    z = np.array(normal_pair_numpy(4, i, PARAMETERS, 0)).T
    chosen = {
        "one": e.evolution_strategies(h, points=1),
        "two": e.evolution_strategies(h),
        "spsa": e.spsa(h),
        "fd": e.finite_differences(h, P),
    }
    expected = {name: np.zeros((count, P)) for name in chosen}

    def at(shift, k):
        return returns(problem, theta + shift, 1, start=k)[0]

    for k in range(count):
        expected["one"][k] = at(h * z[k], k) * z[k] / h
        expected["two"][k] = (at(h * z[k], k) - at(-h * z[k], k)) * z[k] / (2 * h)
        sign = np.where(z[k] > 0, 1.0, -1.0)
        expected["spsa"][k] = (at(h * sign, k) - at(-h * sign, k)) * sign / (2 * h)
        for p in range(P):
            axis = h * np.eye(P)[p]
            expected["fd"][k, p] = (at(axis, k) - at(-axis, k)) / (2 * h)
    for machine in ("numpy", "simd", "scalar"):
        found = mg.sample(problem, theta, chosen, count, seed=4, machine=machine)
        for name in chosen:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=f"{name} {machine}")


def test_a_width_for_each_parameter():
    problem, theta = scalar()
    h, k = np.array([0.05, 0.2]), np.uint64(3)
    z = np.array(normal_pair_numpy(4, k, PARAMETERS, 0))
    chosen = {
        "one": e.evolution_strategies(h, points=1),
        "two": e.evolution_strategies(h),
        "spsa": e.spsa(h),
        "fd": e.finite_differences(h, 2),
        "persistent": e.persistent_evolution_strategies(h, 99),
    }
    found = mg.sample(problem, theta, chosen, 1, seed=4, start=3, machine="numpy")

    def slope(shift):
        up, down = (returns(problem, theta + x, 1, start=3)[0] for x in (shift, -shift))
        return (up - down) / 2.0

    sign = np.where(z > 0, 1.0, -1.0)
    expected = {
        "one": returns(problem, theta + h * z, 1, start=3)[0] * z / h,
        "two": slope(h * z) * z / h,
        "spsa": slope(h * sign) * sign / h,
        "fd": [slope(h * axis) / width for axis, width in zip(np.eye(2), h, strict=True)],
        "persistent": slope(h * z) * z / h,
    }
    for name in chosen:
        np.testing.assert_allclose(found[name][0], expected[name], rtol=1e-9, err_msg=name)
    with pytest.raises(ValueError, match="width: expected a number, or one for each of the 2 parameters, got 3"):
        mg.sample(problem, theta, {"ES": e.evolution_strategies([0.1, 0.2, 0.3])}, 2, machine="numpy")
    with pytest.raises(ValueError, match="width: expected a number, or one for each of the 2 parameters, got 3"):
        e.finite_differences([0.1, 0.2, 0.3], 2)
    with pytest.raises(ValueError, match="width: expected a number > 0, or one for each parameter"):
        e.persistent_evolution_strategies([0.1, 0.0], 3)


@pytest.mark.parametrize("noise", ["independent", "common"])
def test_evolution_strategies_agree_with_quadrature(noise, seed):
    problem, theta = scalar(learn_std=False)
    h = 0.1
    chosen = {"two": e.evolution_strategies(h, noise=noise), "fd": e.finite_differences(h, 1, noise=noise)}
    if noise == "independent":
        chosen["one"] = e.evolution_strategies(h, points=1)
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    weights = weights / weights.sum()

    def moments(shift):
        s = mg.exact.system(problem, theta + shift)
        return values.objective(s), return_variance(s)

    up = np.array([moments(h * z) for z in nodes])
    down = up[::-1]
    smoothed = weights @ (up[:, 0] * nodes) / h
    assert abs(found["two"].mean[0] - smoothed) < 5 * found["two"].stderr[0]
    (ju, vu), (jd, vd) = moments(h), moments(-h)
    assert abs(found["fd"].mean[0] - (ju - jd) / (2 * h)) < 5 * found["fd"].stderr[0]
    if noise == "independent":
        second = weights @ (((up[:, 0] - down[:, 0]) ** 2 + up[:, 1] + down[:, 1]) * nodes**2) / (4 * h * h)
        assert standard_errors(found["two"], np.array([smoothed]), np.array([second - smoothed**2])) < 5
        second = weights @ ((up[:, 0] ** 2 + up[:, 1]) * nodes**2) / h**2
        assert standard_errors(found["one"], np.array([smoothed]), np.array([second - smoothed**2])) < 5
        assert standard_errors(found["fd"], np.array([(ju - jd) / (2 * h)]), np.array([(vu + vd) / (4 * h * h)])) < 5


def test_two_points_with_common_noise_in_the_limit_of_small_steps(seed):
    """Var_i -> 2 E pw_i^2 + sum_j E pw_j^2 - g_i^2 along normal directions."""
    problem, theta = scalar("S04", learn_std=False)
    estimator = e.evolution_strategies(1e-4)
    found = mg.measure(problem, theta, {"ES": estimator}, COUNT, seed)["ES"]
    gradient = mg.exact.gradient(problem, theta)
    square = mg.exact.variance(problem, theta, pw()) + gradient**2
    assert standard_errors(found, gradient, 2 * square + square.sum() - gradient**2) < 5


def test_a_sweep_over_widths_shares_a_kernel():
    problem, theta = scalar()
    kernels = {gradient_program(problem, theta, {"ES": e.evolution_strategies(h)}).kernel for h in (0.1, 0.2, 0.3)}
    assert len(kernels) == 1


def test_control_variates_of_pairs():
    problem, theta = w1(horizon=4, learn_std=True)
    pair, plain = e.antithetic(rtg(), "actions"), rtg()
    combined = e.control_variate(pair, [e.difference(plain, pair)], coefficients=np.full((1, 10), 0.25))
    found = mg.sample(problem, theta, {"pair": pair, "plain": plain, "both": combined}, 50, machine="numpy")
    expected = found["pair"] - 0.25 * (found["plain"] - found["pair"])
    np.testing.assert_allclose(found["both"], expected, rtol=1e-12, atol=1e-10)


def test_what_cannot_be_varied_is_refused():
    problem, theta = scalar()
    with pytest.raises(ValueError, match="flip: expected 'all' or 'actions', got str 'none'"):
        e.antithetic(pw(), "none")
    with pytest.raises(ValueError, match="width: expected a number > 0"):
        e.spsa(0.0)
    with pytest.raises(ValueError, match="noise: expected 'common' or 'independent'"):
        e.evolution_strategies(0.1, noise="same")
    with pytest.raises(ValueError, match=r"expected 3 as in finite_differences\(width, 3\)"):
        mg.measure(problem, theta, {"FD": e.finite_differences(0.1, 3)}, 10)


def test_perturbed_parameters_agree_with_the_exact_variance(seed):
    problem, theta = scalar("S04", learn_std=False)
    chosen = {
        "one": e.evolution_strategies([0.1, 0.2], points=1),
        "two": e.evolution_strategies([0.05, 0.2]),
        "two apart": e.evolution_strategies(0.1, noise="independent"),
        "spsa": e.spsa([0.2, 0.05]),
        "differences": e.finite_differences([0.1, 0.3], 2),
        "differences apart": e.finite_differences(0.1, 2, noise="independent"),
    }
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    for name, estimator in chosen.items():
        assert (
            standard_errors(
                found[name], mg.exact.mean(problem, theta, estimator), mg.exact.variance(problem, theta, estimator)
            )
            < 5
        ), name
    learned, theta = scalar("S04")
    with pytest.raises(mg.exact.NoClosedForm, match="log scale"):
        mg.exact.variance(learned, theta, chosen["one"], work=0)
