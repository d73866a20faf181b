"""The regenerated figures hold what was published: their CSV files against closed forms and values of the papers."""

import re

import numpy as np
import pytest
from scipy.stats import norm

import mcgrad as mg
from figures import __main__ as figures_command
from figures import files
from studies import canonical, han_yang_2026, metz_2021, preiss_2019, suh_2022, tucker_2018

PAPERS = ["mohamed_2020", "mohamed_2020_dimension", "han_yang_2026", "preiss_2019", "tucker_2018", "suh_2022"]
PAPERS += ["metz_2021", "carvalho_2021", "carvalho_2021_systems", "relax_2018", "canonical", "frontier"]


def results(name):
    """Return the rows of a study in the repository."""
    found = files.read(name)
    assert (files.RESULTS / f"{name}.csv").stat().st_size < 100_000
    assert not found.about["quick"]
    return found.rows


def worst(rows):
    """Return by how many standard errors measured variances are from exact ones, at worst; there must be some."""
    seen = rows[(rows["count"] > 0) & (rows["exact_variance"] > 0)]
    assert len(seen) > 5
    return (np.abs(seen["variance"] - seen["exact_variance"]) / seen["variance_stderr"]).max()


def caught(check, *arguments):
    """Return whether a check fails."""
    try:
        check(*arguments)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("name", PAPERS)
def test_captions_are_made_of_results_alone(name):
    module = figures_command.found()[name]
    found = files.read(module.STUDY)
    text = module.describe(found.rows, found.about)
    assert len(text) > 200 and not re.search(r"\bnan\b", text) and text == module.describe(found.rows, found.about)


# ---- Mohamed, Rosca, Figurnov and Mnih (2020) ---------------------------------------------------------------------

ESTIMATORS = (
    "score function",
    "score function, baseline J",
    "score function, optimal constant",
    "reparameterization",
    "measure-valued",
)


def quadratic(k, s):
    """Return the variances of the five estimators for (x - k)^2, x ~ N(1, s), in mean and std: polynomials of the paper."""
    d = 1.0 - k
    mean = (15 * s**2 + 14 * d**2 + d**4 / s**2, 10 * s**2 + 8 * d**2, 6 * s**2 + 8 * d**2, 4 * s**2)
    std = (74 * s**2 + 60 * d**2 + 2 * d**4 / s**2, 56 * s**2 + 40 * d**2, 24 * s**2 + 40 * d**2, 8 * s**2 + 4 * d**2)
    return {"mean": (*mean, (16 / np.pi - 4) * d**2), "std": (*std, 4 * s**2 + 4 * d**2)}


# k, parameter, variances of the five estimators, from closed forms that two methods agree on.
PUBLISHED = {
    "exponential": (
        (0.1, "mean", (0.563532, 0.054075, 0.0404677, 0.0162902, 0.00250909)),
        (0.1, "std", (0.935384, 0.228894, 0.140991, 0.02777, 0.0219705)),
        (1.0, "mean", (0.17575, 0.080673, 0.0722217, 0.211723, 0.0125676)),
        (1.0, "std", (0.17669, 0.223173, 0.112784, 0.175731, 0.0706647)),
        (10.0, "mean", (0.0769404, 0.0602344, 0.0601966, 0.941629, 0.0206558)),
        (10.0, "std", (0.0090346, 0.0391889, 0.00873908, 0.892046, 0.116732)),
    ),
    "cosine": (
        (0.5, "mean", (0.455248, 0.155351, 0.117864, 0.0392846, 0.00827547)),
        (0.5, "std", (0.798658, 0.723684, 0.460102, 0.0875129, 0.0652662)),
        (5.0, "mean", (0.5, 0.5, 0.5, 12.5, 0.295717)),
        (5.0, "std", (1.0, 1.0, 1.0, 12.5, 0.999993)),
    ),
}
CROSSINGS = (-0.913058, 2.913058, 0.8700, 0.3580, 1.0028, 0.7519, 1.4181, 1.0638, 1.2973)


def test_the_costs_of_mohamed_are_the_published_ones():
    rows = results("mohamed_2020")
    costs = (
        rows[rows["part"] == "cost"].set_index(["cost", "parameter", "estimator", "k"])["exact_variance"].sort_index()
    )

    def check(s):
        number = 0
        for (parameter, name, k), variance in costs["quadratic"].items():
            expected = quadratic(k, s)[parameter][ESTIMATORS.index(name)]
            assert variance == pytest.approx(expected, rel=1e-9, abs=1e-12)
            number += 1
        assert number == 25 * 10

    check(1.0)
    assert caught(check, 1.0001)
    for cost, published in PUBLISHED.items():
        for k, parameter, values in published:
            found = [costs[cost, parameter, name, k] for name in ESTIMATORS]
            assert found == pytest.approx(values, rel=2e-5)
    assert costs["cosine", "mean", "measure-valued", np.pi] < 1e-12
    worse = costs["exponential", "std", ESTIMATORS[1], 10.0] / costs["exponential", "std", ESTIMATORS[0], 10.0]
    assert worse == pytest.approx(4.34, abs=0.01)
    assert rows.loc[rows["part"] == "crossing", "k"].tolist() == pytest.approx(CROSSINGS, abs=6e-5)


def test_the_dimensions_of_mohamed_follow_the_polynomials():
    rows = results("mohamed_2020")
    rows = rows[rows["part"] == "dimension"]

    def check(power):
        for _, row in rows.iterrows():
            D, s = row["dimension"], row["std"]
            expected = 2e4 / s**2 if row["cost"] == "constant" else D**power / (2 * s**2) + 2 * D + 8
            assert row["exact_variance"] == pytest.approx(expected, rel=1e-9)

    check(2)
    assert caught(check, 2.001)
    assert len(rows) == 2 * 3 * 11


def test_what_was_measured_for_mohamed_agrees():
    rows = results("mohamed_2020")
    assert worst(rows) < 5
    planted = rows.assign(exact_variance=1.05 * rows["exact_variance"])
    assert worst(planted) > 5


# ---- Han and Yang (2026) --------------------------------------------------------------------------------------------


def test_the_noise_to_signal_ratios_of_han_and_yang_are_the_published_ones():
    rows = results("han_yang_2026")
    one = rows[rows["part"] == "one step"].set_index(["std", "initial_std"])["exact_nsr"]
    assert len(one) == 13 * 13 and one.idxmin() == (10.0, 0.01) and one.idxmax() == (0.01, 10.0)
    assert one.min() == pytest.approx(18.50046, rel=1e-8) and one.max() == pytest.approx(4.037626453e9, rel=1e-9)
    slope = np.log(one[0.017783, 10.0] / one[0.01, 10.0]) / np.log(1.7783)
    assert slope == pytest.approx(-2.0, abs=5e-6)
    for T, nsr in ((5, 101317.38), (10, 205548.0)):
        (setting,) = (x for x in han_yang_2026.settings(True) if x["part"] == "horizon" and x["horizon"] == T)
        kept = rows[(rows["part"] == "horizon") & (rows["horizon"] == T) & (rows["estimator"] == "score function")]
        assert kept["exact_nsr"].item() == pytest.approx(nsr, rel=1e-7)
        for std, same in ((setting["std"], True), (1.01 * setting["std"], False)):
            again = han_yang_2026.rows({**setting, "std": std, "names": ["score function"]}, 0, None)[0]["exact_nsr"]
            assert (again == pytest.approx(nsr, rel=1e-7)) is same


def test_the_first_cost_is_paid_back_in_the_problem_of_han_and_yang():
    """Returns are those of rewards that count the state after the step."""
    p, theta = han_yang_2026.problem(5, 0.3, 1.0)
    found = mg.rollout(p, theta, 20, machine="numpy")
    states, actions = found.states[:, 1:, :2], found.actions[:, :, 0]
    expected = -np.sum(states**2, axis=(1, 2)) - han_yang_2026.ACTION_COST * np.sum(actions**2, axis=1)
    assert found.rewards.sum(axis=1) + found.terminal == pytest.approx(expected, rel=1e-10)


def test_without_process_noise_alone_a_value_baseline_removes_the_slope():
    rows = results("han_yang_2026")
    seen = rows[rows["count"] > 0]
    assert (np.abs(seen["nsr"] - seen["exact_nsr"]) / seen["nsr_stderr"]).max() < 5 and len(seen) == 56
    at = rows[rows["part"] == "std"].set_index(["process_noise", "estimator", "std"])["exact_nsr"]
    expected = {"score function": (-2, -2), "reward to go, value baseline": (0, -2), "reparameterization": (0, 0)}
    for name, slopes in expected.items():
        found = [np.log(at[noise, name, 0.017783] / at[noise, name, 0.01]) / np.log(1.7783) for noise in (0.0, 1e-3)]
        assert found == pytest.approx(slopes, abs=2e-3)


# ---- Preiss, Arnold, Wei and Kloft (2019) -----------------------------------------------------------------------------


def test_the_variance_of_reinforce_has_its_least_values_where_it_should():
    rows = results("preiss_2019")

    def least(part):
        here = rows[rows["part"] == part]
        return [
            here.loc[here.loc[here["scale"] == x, "exact"].idxmin(), ["x", "exact"]].tolist() for x in (0.1, 1.0, 10.0)
        ]

    # In proportion to the process noise, on this instance; values of an independent computation.
    x, nu = zip(*least("policy noise"), strict=True)
    assert x == pytest.approx((0.1, 0.562341, 5.623413)) and nu == pytest.approx((1.293e5, 8.627e6, 8.235e8), rel=5e-4)
    b, _ = zip(*least("actuation"), strict=True)
    assert max(b) / min(b) < 1.8  # one point of the grid, while noise grows a hundredfold
    curve = rows[(rows["part"] == "policy noise") & (rows["scale"] == 1.0)].sort_values("x")["exact"].to_numpy()
    step = np.log(10.0**0.25)
    assert np.log(curve[1] / curve[0]) / step == pytest.approx(-1.0, abs=0.05)
    assert np.log(curve[-1] / curve[-2]) / step == pytest.approx(2.0, abs=0.1)
    radius = rows[(rows["part"] == "radius") & (rows["scale"] == 1.0)].sort_values("x")
    growth = np.diff(np.log(radius["exact"])) / np.diff(radius["x"])
    assert (growth > 0).all() and (np.abs(np.diff(np.log(growth))) < 1.2).all()  # no threshold at .9, or anywhere
    (row,) = [
        x for x in preiss_2019.rows({"part": "policy noise", "scale": 1.0, "repeats": 2}, 0, None) if x["x"] == 1.0
    ]
    kept = rows[(rows["part"] == "policy noise") & (rows["scale"] == 1.0) & (rows["x"] == 1.0)]["exact"].item()
    assert row["exact"] == pytest.approx(kept, rel=1e-8)


def test_the_protocol_of_preiss_agrees_with_exact_values():
    rows = results("preiss_2019")
    seen = rows[rows["spread"].notna() & ((rows["part"] != "radius") | (rows["x"] < 1.0))]
    error = seen["spread"] / np.sqrt(seen["repeats"])
    assert (np.abs(seen["protocol"] - seen["exact"]) / error).max() < 5 and len(seen) > 60
    assert (np.abs(seen["protocol"] - 1.1 * seen["exact"]) / error).median() > 5
    random = rows[rows["part"] == "random"]
    assert 0.9 < np.median(random["protocol"] / random["exact"]) < 1.1 and len(random) > 100


# ---- Tucker et al. (2018) ---------------------------------------------------------------------------------------------

# t, sigma_s, sigma_a without and with the value function (exact to four decimals), sigma_tau (sampled, .05),
# the second moment under the released noise, and what the released code returns (sampled).
TUCKER = (
    (0, -3.1234, 24.5637, 9.3225, 15.81, 19.47, 20.9),
    (10, -0.9988, 24.4182, 9.0194, 15.48, 19.61, 20.9),
    (50, -1.2276, 23.5490, 7.1378, 13.49, 19.12, 20.20),
    (90, -5.7292, 20.7100, 0.9380, 8.48, 15.14, 16.11),
    (98, -10.8255, 17.5684, -4.7837, 2.91, 9.75, 11.18),
)


def test_the_decomposition_of_tucker_is_exact_and_so_is_what_was_released():
    rows = results("tucker_2018")

    def check(rows):
        at = rows[(rows["updates"] == 0) & rows["exact"].isna()].set_index(["t", "part"])["exact_log_trace"]
        for t, state, plain, value, tau, second, released in TUCKER:
            assert at[t, "sigma_s"] == pytest.approx(state, abs=6e-5)
            assert at[t, "sigma_a, no baseline"] == pytest.approx(plain, abs=6e-5)
            assert at[t, "sigma_a, value baseline"] == pytest.approx(value, abs=6e-5)
            assert at[t, "sigma_tau"] == pytest.approx(tau, abs=0.05)
            assert at[t, "second moment, released noise"] == pytest.approx(second, abs=0.1)
            assert at[t, "released sigma_tau"] == pytest.approx(released, abs=0.3)  # at t = 98 a sample of one seed
            assert at[t, "sigma_tau"] > at[t, "sigma_a, value baseline"] + 6  # the claim of the paper

    check(rows)
    assert caught(check, rows.assign(exact_log_trace=rows["exact_log_trace"] + 2e-4))
    seen = rows[rows["count"] > 0]
    scores = np.abs(seen["trace"] - seen["exact"]) / seen["trace_stderr"]
    assert scores.max() < 5 and len(seen) == 22
    assert (np.abs(seen["trace"] - 1.5 * seen["exact"]) / seen["trace_stderr"]).median() > 5


def test_gradients_of_the_point_mass_are_those_of_its_cost():
    mu, step = tucker_2018.ascended(0), 1e-4
    found = tucker_2018.gradients(mu)
    for t in (0, 60, 98):
        means, covs = tucker_2018.states(mu)
        costs = []
        for sign in (1, -1):
            moved = mu.copy()
            moved[t, 1] += sign * step
            costs.append(tucker_2018.values(moved)[t].mean(means[t], covs[t]))
        assert found[t, 1] == pytest.approx(-(costs[0] - costs[1]) / (2 * step), rel=1e-6)


# ---- Suh et al. (2022), Metz et al. (2021), Parmas et al. (2018) --------------------------------------------------------


def test_steps_ramps_and_walls_are_as_in_closed_form():
    rows = results("suh_2022")
    at = rows[rows["part"] != "error"].set_index(["part", "estimator", "x"])
    plain, zeroth, path = suh_2022.SCORE, suh_2022.ZEROTH, suh_2022.PATH

    def check(std):
        for x in rows.loc[rows["part"] == "step", "x"].unique():
            a = x / std
            gradient, below = norm.pdf(a) / std, norm.cdf(a) - a * norm.pdf(a)
            assert at["gradient"]["step", plain, x] == pytest.approx(gradient, rel=1e-7)
            assert at["exact_variance"]["step", plain, x] == pytest.approx(below / std**2 - gradient**2, rel=1e-7)
            less = below if at["value"]["step", zeroth, x] == 0 else 1 - below
            assert at["exact_variance"]["step", zeroth, x] == pytest.approx(less / std**2 - gradient**2, rel=1e-7)
            assert at["exact_mean"]["step", path, x] == at["exact_variance"]["step", path, x] == 0
        for width in rows.loc[rows["part"] == "ramp", "x"].unique():
            p = norm.cdf(width / 2 / std) - norm.cdf(-width / 2 / std)
            assert at["exact_variance"]["ramp", path, width] == pytest.approx(p * (1 - p) / width**2, rel=1e-7)

    check(0.2)
    assert caught(check, 0.2002)
    assert at["gradient"]["step", plain, 0.0] == pytest.approx(1.994711, abs=1e-6)
    assert at["exact_variance"]["step", plain, 0.0] == pytest.approx(8.521126, abs=1e-6)
    assert at["exact_variance"]["step", plain, 0.3] == pytest.approx(18.05354, abs=1e-5)
    assert at["exact_variance"]["step", zeroth, 0.3] == pytest.approx(6.10772, abs=1e-5)
    jumps = ((0.693203, -0.00644181), (1.199342, 0.00115457))
    for x in rows.loc[rows["part"] == "wall", "x"].unique():
        lost = sum(size * norm.pdf((angle - x) / 0.05) / 0.05 for angle, size in jumps)
        bias = at["exact_mean"]["wall", path, x] - at["gradient"]["wall", path, x]
        assert bias == pytest.approx(-lost, abs=2e-6)
    assert worst(rows[(rows["part"] != "error") & (rows["estimator"] != path)]) < 5


def test_ripples_and_chaos_grow_as_they_should():
    rows = results("metz_2021")
    at = rows.set_index(["part", "estimator", "x"])["exact_variance"].sort_index()
    ripples = {name: at["ripples", name] for name in (metz_2021.PATH, metz_2021.SCORE, metz_2021.MIRRORED)}
    assert ripples[metz_2021.PATH][1.0] == pytest.approx(8.145e-5, rel=1e-3)
    for w in (31.622777, 100.0, 316.227766):
        assert ripples[metz_2021.PATH][w] / w**2 == pytest.approx(0.005 / np.pi**2, rel=2e-3)
        assert not ripples[metz_2021.PATH][w] / w**1.9 == pytest.approx(0.005 / np.pi**2, rel=2e-3)
    assert 13.5 < ripples[metz_2021.SCORE].min() and ripples[metz_2021.SCORE].max() < 16.5
    assert 0.075 < ripples[metz_2021.MIRRORED].min() and ripples[metz_2021.MIRRORED].max() < 0.21
    long = at["chaos", metz_2021.PATH]
    assert (long[16] / long[14]) ** 0.5 == pytest.approx(4.62, abs=0.05)
    assert at["chaos", metz_2021.TO_GO, 16] < 1e-5 * long[16]
    # The tail of a pathwise variance over many chaotic steps is not seen by so few trajectories.
    assert worst(rows[(rows["part"] == "ripples") | (rows["estimator"] != metz_2021.PATH)]) < 5


# ---- the canonical table ----------------------------------------------------------------------------------------------

CANONICAL = {
    1: (66.41526, 43.90084, 25.889304, 66.41526, 0.1402, 0.0388, 0.0388, 0.0288),
    2: (186.73274, 120.32881, 73.024472, 139.62385, 3.1136095, 0.55864426, 0.53034714, 0.42268914),
    5: (408.63332, 240.1141, 154.60739, 259.52317, 19.481781, 5.4478396, 4.3001139, 3.375755),
    10: (633.34557, 298.3181, 209.35742, 367.55598, 33.40124, 8.6441279, 5.9709976, 4.3504879),
    20: (1304.7119, 396.66573, 303.94188, 660.69557, 59.789066, 12.422279, 7.8273884, 5.1499625),
}


def test_the_canonical_table_is_the_published_one():
    rows = results("canonical")
    at = rows.set_index(["part", "x", "estimator"])["exact_variance"].sort_index()
    names = [name for name in canonical.NAMES if name != "reward to go, mean baseline"]
    for T, values in CANONICAL.items():
        assert [at["horizon", T, name] for name in names] == pytest.approx(values, rel=1e-7)
    again = canonical.rows({"part": "exploration", "x": 0.51, "count": 0}, 0, None)
    assert not again[0]["exact_variance"] == pytest.approx(CANONICAL[10][0], rel=1e-3)
    path, quadratic = "reparameterization", "reward to go, optimal quadratic"
    ratios = [at["marginal", T, quadratic] / at["marginal", T, path] for T in (12, 20, 40, 160)]
    assert ratios == pytest.approx((0.74, 0.44, 0.22, 0.055), rel=0.02)
    # Copies: quadratic in n for the score function, linear with J, constant for derivatives.
    for name, degree in (("score function", 2), ("score function, baseline J", 1), (path, 0)):
        values = np.array([at["dimension", n, name] for n in (2, 4, 6, 8)])
        assert np.abs(np.diff(values, degree + 1)).max() < 1e-9 * values.max()
        assert degree == 0 or np.abs(np.diff(values, degree)).max() > 1e-3 * values.max()
    small = [
        at["exploration", 0.001, name] for name in ("reward to go, value baseline", "value baseline, mirrored actions")
    ]
    assert small[0] > 1e6 > 100 > small[1]
    assert worst(rows) < 5
    assert worst(rows.assign(exact_variance=1.1 * rows["exact_variance"])) > 5


# ---- REBAR and RELAX ---------------------------------------------------------------------------------------------------


def test_the_toy_of_relax_has_the_variances_of_its_formula():
    rows = results("relax_2018")
    at = rows.set_index(["part", "t", "estimator", "x"])["exact_variance"].sort_index()

    def check(shift):
        for (part, t, name, p), variance in at.items():
            if part == "probability" and name == "score function":
                one, zero = (1 - t + shift) ** 2, t**2
                assert variance == pytest.approx(p * (1 - p) * ((1 - p) * one + p * zero) ** 2, rel=1e-9)

    check(0.0)
    assert caught(check, 1e-6)
    assert at["probability", 0.499, "score function", 0.5] == pytest.approx(0.015625125, rel=1e-7)
    assert at["probability", 0.45, "score function", 0.5] == pytest.approx(0.0159390625, rel=1e-7)
    assert np.log(at["probability", 0.499, "score function", 0.5]) == pytest.approx(-4.1589, abs=1e-4)
    assert at["probability", 0.499, "score function", 0.5] / (0.25 * 0.002) ** 2 == pytest.approx(62500.5, rel=1e-6)
    assert rows[rows["estimator"] == "score function, optimal constant"]["exact_variance"].max() < 1e-15
    control = rows[rows["estimator"].str.startswith("REBAR")]
    assert control["zero"].abs().max() < 1e-9  # what is subtracted has no mean
    hot = rows[(rows["part"] == "temperature") & (rows["x"] == 1e5)]["exact_variance"]
    assert hot.max() < 1e-5
    seen = rows[rows["exact_variance"] > 1e-9]
    assert worst(seen) < 5


def test_the_hierarchy_of_one_step_is_the_published_one():
    """One step, the cost of the state after it: five closed forms, and the ratios that they bound."""
    environment = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[0.0]], [[0.1]], terminal_cost=[[1.0]])
    p = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 1)
    e = mg.estimators
    chosen = [e.score_function(), e.reward_to_go(mg.baselines.value()), e.reparameterization(), e.all_actions()]
    found = [mg.exact.variance(p, [-0.6], x)[0] for x in chosen]
    assert found == pytest.approx((14.206335, 2.149450, 0.583300, 0.460800), abs=6e-7)
    assert 2.5 <= found[1] / found[2] <= 4.0
    moved = [mg.exact.variance(p, [-0.61], x)[0] for x in chosen]
    assert not moved == pytest.approx(found, rel=1e-3)
