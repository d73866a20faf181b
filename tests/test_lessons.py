"""The study of lessons: against exact moments, published values, a recursion of its own, and what its figure says."""

import math

import numpy as np
import pytest

import mcgrad as mg
from figures import files
from figures import lessons as figure
from mcgrad.exact.quadratures import quadrature
from studies import __main__ as studies_command
from studies import lessons
from studies.problems import CASES

SCORE, MEAN, PATH, MIXED = lessons.SCORE, lessons.MEAN, lessons.PATH, lessons.MIXED


def exact(part, problem, value=None, detail=None):
    """Return {estimator: row} of exact values."""
    setting = {"part": part, "problem": problem, "detail": detail, "value": value, "count": 0, "start": 0}
    return {row["estimator"]: row for row in lessons.rows(setting, 0, 1)}


def case(problem, detail):
    return next(c for c in CASES if (c.problem, c.detail) == (problem, detail))


# ---- published values --------------------------------------------------------------------------------------------


def test_costs_have_the_variances_of_mohamed_et_al():
    """Of a mean and a std together, with k = 1 and k = 1.58: their closed forms."""
    found = exact("overview", "exponential cost", detail="k = 1")
    assert found[SCORE]["exact_variance"] == pytest.approx(0.080673 + 0.223173, rel=1e-5)
    assert found[PATH]["exact_variance"] == pytest.approx(0.211723 + 0.175731, rel=1e-5)
    found = exact("overview", "cosine cost", detail="k = 1.58")
    assert found[SCORE]["exact_variance"] == pytest.approx(0.324875 + 0.790426, rel=1e-5)
    assert found[PATH]["exact_variance"] == pytest.approx(1.05103 + 1.17205, rel=1e-5)
    found = exact("overview", "quadratic cost", detail="k = -1")
    assert found[SCORE]["exact_variance"] == pytest.approx(10 + 8 * 2**2 + 56 + 40 * 2**2, rel=1e-9)
    assert found[PATH]["exact_variance"] == pytest.approx(4 + 8 + 4 * 2**2, rel=1e-9)
    assert found[PATH]["nsr"] == pytest.approx(28 / (4**2 + 2**2), rel=1e-9)


def test_ripples_have_the_plateau_of_metz_et_al():
    for w, variance in ((1.0, 8.145e-5), (30.0, 0.4565), (100.0, 5.0661), (300.0, 45.595)):
        found = exact("frequency", "ripples on a valley", w)
        assert found[PATH]["exact_variance"] == pytest.approx(variance, rel=2e-4)
        assert found[PATH]["exact_variance"] == pytest.approx(0.005 * (w / math.pi) ** 2, rel=2e-3) or w == 1.0


@pytest.mark.parametrize("width", [0.4, 0.1, 0.01, 1e-3])
def test_a_ramp_is_a_bernoulli_number_over_its_width(width):
    """Suh et al.: the slope is seen with probability p."""

    def below(x):
        return 0.5 * (1 + math.erf((x - 0.1) / 0.2 / math.sqrt(2)))

    p = below(width / 2) - below(-width / 2)
    found = exact("width", "ramp", width)
    assert found[PATH]["exact_variance"] == pytest.approx(p * (1 - p) / width**2, rel=1e-9)
    assert found[PATH]["square"] == pytest.approx((p / width) ** 2, rel=1e-9)


def test_jumps_take_what_they_take():
    """All of the gradient on a step; on the ball all but the -0.00215 of Suh et al. of what a sum over angles gives."""
    step = exact("overview", "step reward", detail="width 0")
    assert step[PATH]["exact_variance"] == step[MIXED]["exact_variance"] == 0.0
    assert step[PATH]["exact_bias"] == pytest.approx(1.0, rel=1e-12) and step[SCORE]["exact_bias"] < 1e-12
    ball = exact("overview", "ball with wall", detail="angle 0.69")
    z = np.linspace(-9.0, 9.0, 2_000_001)
    angle = 0.6932 + 0.05 * z
    landing = np.sin(2 * angle) / 9.81
    height = 0.06 * np.tan(angle) - 9.81 * 0.06**2 / (2 * np.cos(angle) ** 2)
    cost = np.where((height > 0.02) | (landing <= 0.06), landing, 0.06) ** 2
    gradient = -np.sum(cost * z * np.exp(-(z**2) / 2)) * (z[1] - z[0]) / math.sqrt(2 * math.pi) / 0.05
    assert ball[SCORE]["square"] == pytest.approx(gradient**2, rel=1e-5)
    assert ball[PATH]["exact_bias"] == pytest.approx(1 - 0.00215 / abs(gradient), rel=2e-4)
    assert ball[MIXED]["exact_bias"] > 0.9  # it follows the one that is precise and wrong


def test_the_growth_on_the_chaotic_map():
    """The factor per step from variances at two horizons; the typical one from paths that start side by side."""
    found = [exact("horizon", "chaotic map", T)[PATH] for T in (10, 16)]
    growth, typical = found[0]["growth"], found[0]["typical_growth"]
    assert (found[1]["exact_variance"] / found[0]["exact_variance"]) ** (1 / 6) == pytest.approx(growth, rel=2e-3)
    rng, size, logarithms = np.random.default_rng(5), 1e-7, []
    x = np.full(4000, 0.5)
    for _ in range(200):
        u = 0.1 + 0.3 * rng.standard_normal(len(x))
        apart = np.sin(math.pi * (x + size) + u) - np.sin(math.pi * x + u)
        x = np.sin(math.pi * x + u)
        logarithms.append(2 * np.mean(np.log(np.abs(apart / size))))
    assert math.exp(np.mean(logarithms[20:])) == pytest.approx(typical, rel=0.01)
    assert typical < 0.7 * growth


# ---- measured ----------------------------------------------------------------------------------------------------


def test_measured_rows_agree_with_exact_ones(seed):
    """At 40 000 trajectories; in four rows of five a variance larger by a half would be seen."""
    power = []
    for setting in lessons.settings(True)[::2]:
        for row in lessons.rows({**setting, "count": 40_000}, seed, None):
            assert row["nonfinite"] == 0 and row["count"] == 40_000
            if row["exact_variance"]:
                assert abs(row["variance"] - row["exact_variance"]) < 5 * row["variance_stderr"], row
                power.append((1.5 * row["exact_variance"] - row["variance"]) / row["variance_stderr"])
            elif row["exact_variance"] == 0.0:
                assert setting["problem"] == "step reward" and row["variance"] == 0
            if "bias_in_stderrs" in row:
                assert (row["bias_in_stderrs"] < 5) == (setting["problem"] != "step reward"), row
    assert len(power) > 20 and np.quantile(power, 0.2) > 5


def test_a_fitted_baseline_and_what_quadrature_says(seed):
    """Pathwise moments on the cubic system, and the norm of its gradient, which is measured as well."""
    name, detail = "cubic system", "T = 3"
    problem, theta = case(name, detail).make()
    known = quadrature(problem, theta, {PATH: mg.estimators.reparameterization()}, nodes=16)
    setting = {"part": "overview", "problem": name, "detail": detail, "value": None, "count": 200_000, "start": 0}
    found = {row["estimator"]: row for row in lessons.rows(setting, seed, None)}
    path, square = found[PATH], known.gradient @ known.gradient
    assert abs(path["variance"] - known[PATH].variance.sum()) < 5 * path["variance_stderr"]
    assert abs(path["variance"] - 2.0 * known[PATH].variance.sum()) > 5 * path["variance_stderr"]  # tails are heavy
    assert abs(path["square"] - square) < 5 * path["square_stderr"] < 0.1 * square
    assert path["bias_in_stderrs"] < 5 and found[MIXED]["variance"] < 1.02 * path["variance"] < found[SCORE]["variance"]


def double_well(horizon, K=-1.0, std=0.5, dt=0.05, noise_std=0.5, action_cost=0.1):
    """Return mean and variance of the pathwise gradient on the double well: recursions for functions of the state.

    With D = ds/dK: D' = A D + B, dr = p D + q, and E[Y | s, D] = one D + zero, E[Y^2 | s, D] = two D^2 + mixed D + none of
    what is left, Y = dr + Y'; all of them on a Chebyshev grid, expectations by Gauss-Hermite quadrature.
    """
    nodes, reach = 220, 2.6
    grid = reach * np.polynomial.chebyshev.chebpts1(nodes)
    z, weight_z = np.polynomial.hermite_e.hermegauss(16)
    weight_z = weight_z / weight_z.sum()
    s = np.append(grid, -1.0 + 0.1 * z)[:, None]
    e, w = (x.ravel() for x in np.meshgrid(z, z))
    weight = np.outer(weight_z, weight_z).ravel()
    a = K * s + std * e
    s_next = s + dt * (a - 4 * s * (s**2 - 1)) + noise_std * math.sqrt(dt) * w
    assert np.abs(s_next).max() < reach
    A, B = 1 - 4 * dt * (3 * s**2 - 1) + dt * K, dt * s
    p = -dt * (2 * (s_next - 1) * A + 2 * action_cost * a * K)
    q = -dt * (2 * (s_next - 1) * B + 2 * action_cost * a * s)
    values = np.polynomial.chebyshev.chebvander(s_next / reach, nodes - 1)
    transform = np.polynomial.chebyshev.chebvander(grid / reach, nodes - 1).T * (2 / nodes)
    transform[0] /= 2

    def operator(f):
        return np.einsum("xk,xkj->xj", np.broadcast_to(f, s_next.shape) * weight, values) @ transform

    E, Ep, Eq = operator(1.0), operator(p), operator(q)
    pp, pq, qq, p1, q1 = ((f * weight).sum(axis=1) for f in (p * p, p * q, q * q, p, q))
    A, B = A[:, 0], B[:, 0]
    one, zero, two, mixed, none = np.zeros((5, nodes))
    for _ in range(horizon):
        found = (
            p1 + A * (E @ one),
            q1 + B * (E @ one) + E @ zero,
            pp + 2 * A * (Ep @ one) + A**2 * (E @ two),
            2 * (pq + B * (Ep @ one) + Ep @ zero + A * (Eq @ one) + A * B * (E @ two)) + A * (E @ mixed),
            qq + 2 * (B * (Eq @ one) + Eq @ zero) + B**2 * (E @ two) + B * (E @ mixed) + E @ none,
        )
        one, zero, two, mixed, none = (x[:nodes] for x in found)
    mean = found[1][nodes:] @ weight_z
    return mean, found[4][nodes:] @ weight_z - mean**2


def test_the_double_well_has_the_variance_of_a_recursion(seed):
    """Fifty steps, nonlinear, and the variance to 5 %: one of T = 45 would be seen."""
    problem, theta = case("double well", "T = 50").make()
    found = mg.measure(problem, theta, {PATH: mg.estimators.reparameterization()}, 500_000, seed)[PATH]
    mean, variance = double_well(50)
    assert abs(found.mean[0] - mean) < 5 * found.stderr[0]
    assert abs(found.variance[0] - variance) < 5 * found.variance_stderr[0]
    mean, variance = double_well(45)
    assert abs(found.mean[0] - mean) > 5 * found.stderr[0]
    assert abs(found.variance[0] - variance) > 5 * found.variance_stderr[0]


# ---- results and figure ------------------------------------------------------------------------------------------


def test_the_results_in_the_repository_say_what_the_figure_says():
    path = studies_command.RESULTS / "lessons.csv"
    assert path.stat().st_size < 100_000
    results = files.read("lessons")
    rows = results.rows
    assert not results.about["quick"] and tuple(rows.columns) == lessons.STUDY.columns
    table = figure.summary(rows[rows["part"] == "overview"])
    assert set(table.index) == {(c.problem, c.detail) for c in CASES}
    assert (table["kind"] == [case(*at).kind for at in table.index]).all()
    assert set(table["kind"]) == {kind for kinds in figure.GROUPS.values() for kind in kinds}
    lq, jumps, choice = (table[table["kind"] == kind] for kind in ("linear-quadratic", "jumps", "choice"))
    assert len(lq) > 3 and (lq["ratio"] < 0.3).all()
    other = table[table["kind"].isin(["smooth", "kinks"])]
    assert (other["ratio"] > 1).sum() > 5 and other["ratio"].max() > 1e4 and other["ratio"].min() < 0.01
    assert (other["bias_in_stderrs"] < 5).all() and (lq["bias_in_stderrs"] < 5).all()
    assert (jumps["bias_in_stderrs"] > 100).all() and choice["ratio"].isna().all()
    unbiased = table[table["kind"].isin(["smooth", "kinks", "linear-quadratic"])]
    assert (unbiased[MIXED] < 1.02 * unbiased[["score", PATH]].min(axis=1)).all()
    for at, name, detail in (("overview", "scalar LQ", "T = 10"), ("overview", "random walk", "T = 50")):
        for estimator, row in exact(at, name, detail=detail).items():
            same = (rows["problem"] == name) & (rows["detail"] == detail) & (rows["estimator"] == estimator)
            assert rows[same]["exact_variance"].item() == pytest.approx(row["exact_variance"], rel=1e-9)


def test_the_lessons_are_told_as_a_table():
    rows = files.read("lessons").rows
    rows = rows.astype(object).where(rows.notna(), None).to_dict("records")
    text = lessons.STUDY.report(rows)
    assert len(text.splitlines()) == 1 + len(CASES) + 2
    assert "biased by 100 %" in text and "no pathwise gradient" in text
