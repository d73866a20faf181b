"""Figures of our own hold what closed forms say: the CSV files they are drawn from, and planted changes that are caught."""

import json
import math

import numpy as np
import pytest
from test_literature import caught, results

import mcgrad as mg
from figures import files

# Variances of score function, reward to go and reparameterization at T = 20 of s_next = .9 s + .5 a + w, by closed loop.
POLES = {
    0.0: (483.97, 303.81, 1.063),
    0.5: (800.16, 428.86, 4.3461),
    0.9: (8.137e4, 3.9324e4, 3989.6),
    1.0: (3.8767e6, 1.895e6, 1.9545e5),
    1.1: (1.8431e9, 7.6979e8, 2.9105e7),
    1.2: (4.5034e12, 1.8315e12, 6.7137e9),
}
NAMES = ("score function", "reward to go", "reparameterization")


def test_the_growth_with_the_horizon_is_that_of_the_literature():
    system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    e = mg.estimators

    def check(horizon):
        problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon)
        for radius, variances in POLES.items():
            chosen = (e.score_function(), e.reward_to_go(), e.reparameterization())
            found = [mg.exact.variance(problem, [(radius - 0.9) / 0.5], x)[0] for x in chosen]
            assert found == pytest.approx(variances, rel=2e-4)

    check(20)
    assert caught(check, 19)


def test_the_horizon_in_the_repository_grows_as_its_figure_says():
    at = results("horizon").set_index(["spectral_radius", "horizon", "estimator"])["exact_variance"]
    for radius in (0.5, 0.9, 1.0, 1.1):  # one step: no loop is closed
        assert [at[radius, 1, name] for name in NAMES] == pytest.approx((66.41526, 66.41526, 0.0388), rel=1e-6)

    def slope(radius, name):
        return math.log(at[radius, 1000, name] / at[radius, 500, name]) / math.log(2.0)

    powers = {(0.5, "score function"): 3, (0.5, "reparameterization"): 1, (1.0, "score function"): 6}
    for (radius, name), power in powers.items():
        assert slope(radius, name) == pytest.approx(power, abs=0.1)  # the rest is of lower order
    rate = math.log(at[1.1, 100, "score function"] / at[1.1, 80, "score function"]) / (20 * math.log(1.1))
    assert rate == pytest.approx(6.0, abs=0.1)


def test_the_noise_scale_in_the_repository_has_its_limits():
    rows = results("noise_scale")
    rows = rows[rows["process_noise"] == 0.0]
    at = rows.set_index(["estimator", "std"])

    def check(power):
        for std in (0.001, 0.01):
            row = {name: at["exact_variance"][name, std] for name in at.index.levels[0] if (name, std) in at.index}
            # Finite std adds terms of its square.
            assert row["reparameterization"] / std**power == pytest.approx(8.189, rel=1e-3)
            assert row["score function"] * std**power == pytest.approx(4.09385, rel=3e-3)
            assert row["reward to go, value baseline"] == pytest.approx(2.131, rel=3e-3)

    check(2.0)
    assert caught(check, 1.99)
    gradients = at["exact_mean"]["reparameterization"]
    published = {0.0: -1.3290430944, 0.001: -1.329045, 0.01: -1.329264, 0.1: -1.35118, 1.0: -3.5423}
    for std, gradient in published.items():
        if std in gradients.index:
            assert gradients[std] == pytest.approx(gradient, rel=2e-6 if std < 0.1 else 2e-5)
    assert {0.0, 0.001, 0.01, 0.1, 1.0} <= set(gradients.index)


def test_the_two_views_in_the_repository_are_of_one_objective():
    """J by second moments, step by step, in the order of the formula; and the ratios are those of normal densities."""
    rows = results("two_views")
    paths, samples = rows[rows["part"] == "paths"], rows[rows["part"] == "samples"]

    def check(std):
        for theta, here in paths.groupby("theta"):
            second, total = 1.0, 0.0
            for _ in range(10):
                total -= second + 0.1 * (theta**2 * second + std**2)
                second = (0.9 + 0.5 * theta) ** 2 * second + (0.5 * std) ** 2
            assert here["exact_objective"].to_numpy() == pytest.approx(total, rel=1e-9)

    check(0.3)
    assert caught(check, 0.3003)
    middle = paths[np.abs(paths["theta"] + 0.6) < 1e-9]
    assert len(middle) == 12 and (middle["ratio"] == 1.0).all()
    assert middle["fixed_return"].to_numpy() == pytest.approx(middle["moved_return"].to_numpy(), rel=1e-12)
    for name in ("score", "path"):
        x, variance = samples[name], samples[f"{name}_variance"].iloc[0]
        assert abs(x.mean() - samples["exact_gradient"].iloc[0]) < 5 * math.sqrt(variance / len(x))
        assert abs(x.mean() + samples["exact_gradient"].iloc[0]) > 5 * math.sqrt(samples["path_variance"].iloc[0] / 400)


def test_the_batches_in_the_repository_are_those_of_three_arms():
    """Batches of the bandit by the formulas of the literature: 1.0022 / B, 0.3048 / B, a bias of 1 / B."""
    rows = results("grad_log_pi")
    batch = rows[rows["part"] == "batch"].set_index(["estimator", "size"]).sort_index()
    norm = np.linalg.norm([-0.05, 0.27, -0.22])
    variance = (batch["error"] ** 2 - batch["bias"] ** 2) * norm**2

    def check(power):
        for size in batch.index.levels[1]:
            assert variance["no baseline", size] == pytest.approx(1.0022 / size**power, rel=1e-9)
            assert variance["exact baseline", size] == pytest.approx(0.3048 / size**power, rel=1e-9)
            assert batch["bias"]["mean of the batch", size] == pytest.approx(1 / size**power, rel=1e-9)
            assert batch["bias"]["leave one out", size] < 1e-12

    check(1.0)
    assert caught(check, 1.001)
    arrows = rows[rows["part"] == "arrows"]
    for _, here in arrows.groupby("baseline"):
        mean = [(here["probability"] * here[f"arrow_{k}"]).sum() for k in range(3)]
        assert mean == pytest.approx([-0.05, 0.27, -0.22], rel=1e-12)


def test_the_locked_versions_are_those_of_the_results():
    lines = (files.RESULTS.parents[1] / "requirements-lock.txt").read_text(encoding="utf-8").splitlines()
    locked = dict(line.split("==") for line in lines if "==" in line)
    for path in files.RESULTS.glob("*.json"):
        about = json.loads(path.read_text(encoding="utf-8"))
        made = {k: v for k, v in about["versions"].items() if k not in ("python", "mcgrad", "jax", "jaxlib")}  # a peer
        assert made == {k: locked[k] for k in made}, path.name
        assert about["git"]["dirty"] is False, path.name
