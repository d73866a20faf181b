"""The study of convergence: against enumeration, a simulation of its own, closed forms, and what its figure says."""

import itertools
import math

import numpy as np
import pytest

import mcgrad as mg
from figures import convergence as figure
from figures import files
from studies import convergence, ladder


@pytest.fixture(scope="module")
def results():
    return files.read("convergence")


@pytest.fixture(scope="module")
def rows(results):
    return {part: results.rows[results.rows["part"] == part] for part in results.rows["part"].unique()}


def test_the_results_in_the_repository_are_of_this_study(results):
    assert not results.about["quick"] and tuple(results.rows.columns) == convergence.COLUMNS
    assert len(results.rows) == results.about["rows"]
    assert set(results.rows[results.rows["part"] == "running"]["estimator"]) == set(ladder.RUNGS)


# ---- errors of running means ------------------------------------------------------------------------------------


KNOWN = {  # variances of one sample, exact
    "score function": 633.34557354,
    "reward to go": 367.5559769,
    "reward to go, value baseline": 33.40123991,
    "action control variate": 21.99762269,
    "reparameterization": 8.64412788062,
    "all actions": 4.35048787447,
}


def deviations(rows, variance):
    """How many standard errors root mean squares are from sqrt(variance / N), for N at which errors are nearly normal."""
    here = rows[rows["count"] >= 256]
    return np.abs(here["value"] - np.sqrt(variance / here["count"])) / here["stderr"]


def test_errors_fall_like_one_over_root_N(rows):
    run = rows["running"]
    for name, variance in KNOWN.items():
        here = run[run["estimator"] == name]
        np.testing.assert_allclose(here["exact"], np.sqrt(variance / here["count"]), rtol=1e-8)
        assert deviations(here, variance).max() < 5
        slope = np.polyfit(np.log(here["count"]), np.log(here["value"]), 1)[0]
        assert abs(slope + 0.5) < 0.04, (name, slope)
        assert deviations(here, 4 * variance).min() > 3  # planted; a policy of another std is below
    every = run[run["count"] >= 256]
    assert (np.abs(every["value"] - every["exact"]) < 5 * every["stderr"]).all()


def test_a_policy_of_another_std_is_seen(rows):
    p, theta = convergence.ladder.scalar()
    other = mg.Problem(p.environment, mg.policies.linear_gaussian(1, 1, std=1.5), p.horizon)
    for name in ("reparameterization", "all actions"):
        here = rows["running"][rows["running"]["estimator"] == name]
        variance = mg.exact.variance(other, theta, ladder.RUNGS[name].make())[0]
        assert deviations(here, variance).max() > 5, name


def test_quantiles_become_normal(rows):
    """The median of |error| over its std is .674 at large N; of a score function it is far less at N = 1."""
    for name in figure.BANDS:
        here = figure.of(rows["running"], name)
        last = here[here["count"] >= 2048]
        median = (last["q50"] / last["exact"]).mean()
        assert median == pytest.approx(0.6745, abs=0.12)
    first = figure.of(rows["running"], "score function").iloc[0]
    assert first["q50"] / first["exact"] < 0.4


# ---- directions --------------------------------------------------------------------------------------------------


def test_directions_of_three_arms_by_enumeration():
    values, pi = np.array(convergence.ARMS), np.array(convergence.CHANCES)
    score = np.eye(3) - pi
    gradient = pi @ (score * values[:, None])
    for B in (1, 2, 3, 4):
        for baseline in ("none", "J", "group") if B > 1 else ("none", "J"):
            downhill = cosine = 0.0
            for batch in itertools.product(range(3), repeat=B):
                chance, returns = np.prod(pi[list(batch)]), values[list(batch)]
                level = {"none": 0.0, "J": pi @ values}.get(baseline)
                others = (returns.sum() - returns) / (B - 1) if level is None else level
                g = np.mean((returns - others)[:, None] * score[list(batch)], axis=0)
                c = g @ gradient / np.linalg.norm(gradient) / np.linalg.norm(g) if np.linalg.norm(g) > 1e-12 else 0.0
                c = 0.0 if abs(c) < 1e-9 else c
                downhill, cosine = downhill + chance * (c < 0), cosine + chance * c
            found = convergence.directions(B, baseline)
            assert found["downhill"] == pytest.approx(downhill, abs=1e-12)
            assert found["cosine"] == pytest.approx(cosine, abs=1e-12)
            assert abs(found["cosine"] - convergence.directions(B + 1, baseline)["cosine"]) > 1e-3


def test_measured_directions_of_three_arms(rows):
    arms = rows["arms"]
    seen = arms[arms["value"].notna()]
    assert len(seen) > 30 and (np.abs(seen["value"] - seen["exact"]) < 5 * seen["stderr"]).all()
    exact = arms.set_index(["estimator", "what", "count"])["exact"]
    assert exact["score function", "downhill", 1] == pytest.approx(0.65)
    # Planted: a batch of another size
    shifted = seen.assign(exact=[exact.get((x.estimator, x.what, 2 * x.count), math.nan) for x in seen.itertuples()])
    assert (np.abs(shifted["value"] - shifted["exact"]) > 5 * shifted["stderr"]).sum() > 20


def by_hand(count, rng):
    """Score function and pathwise gradients of the scalar problem, in NumPy."""
    s, D, back, Z, R, path = rng.normal(size=count), 0.0, 0.0, 0.0, 0.0, 0.0
    for _ in range(10):
        u = 0.5 * rng.normal(size=count)
        a, da = -0.6 * s + u, s - 0.6 * D
        R, Z, path = R - s**2 - 0.1 * a**2, Z + u * s / 0.25, path - 2 * s * D - 0.2 * a * da
        s, D = 0.9 * s + 0.5 * a + 0.2 * rng.normal(size=count), 0.9 * D + 0.5 * da
    return {"score function": R * Z, "reparameterization": path + back}


def test_wrong_signs_against_a_simulation_by_hand(rows, seed):
    samples = by_hand(2**18, np.random.default_rng(seed))
    for name, x in samples.items():
        here = rows["direction"][rows["direction"]["estimator"] == name].set_index("count")
        for B in (1, 2, 4, 16, 64):
            wrong = x.reshape(-1, B).mean(axis=1) > 0  # the gradient is negative
            share, error = wrong.mean(), math.sqrt(max(wrong.mean(), 1e-3) / len(wrong))
            assert abs(share - here.loc[B, "value"]) < 5 * math.hypot(error, here.loc[B, "stderr"]), (name, B)
        # Planted: batches of two are not batches of four
        assert abs(here.loc[2, "value"] - here.loc[4, "value"]) > 5 * here.loc[4, "stderr"]
        law = here[here["exact"] > 0.2]
        assert (np.abs(law["value"] - law["exact"]) < 0.12).all()


def double_integrators(count, rng):
    """Score function and pathwise gradients (count, 8) of two double integrators, in NumPy."""
    two = np.eye(2)
    A, B, K = np.kron([[1, 0.1], [0, 1]], two), np.kron([[0.005], [0.1]], two), -0.5 * np.hstack([two, two])
    s, D, R = rng.normal(size=(count, 4)), np.zeros((count, 4, 2, 4)), np.zeros(count)  # D = ds/dK
    Z, path = np.zeros((count, 2, 4)), np.zeros((count, 2, 4))
    for _ in range(50):
        u = 0.3 * rng.normal(size=(count, 2))
        a, da = s @ K.T + u, np.einsum("ij,njkl->nikl", K, D)
        da[:, 0, 0] += s
        da[:, 1, 1] += s
        R = R - np.sum(s**2, axis=1) - 0.1 * np.sum(a**2, axis=1)
        Z = Z + u[:, :, None] / 0.09 * s[:, None]
        path = path - 2 * np.einsum("ni,nikl->nkl", s, D) - 0.2 * np.einsum("ni,nikl->nkl", a, da)
        s = s @ A.T + a @ B.T + 0.1 * rng.normal(size=s.shape)
        D = np.einsum("ij,njkl->nikl", A, D) + np.einsum("ij,njkl->nikl", B, da)
    return {"score function": R[:, None] * Z.reshape(count, 8), "reparameterization": path.reshape(count, 8)}


def test_cosines_of_many_parameters_against_a_simulation_by_hand(rows, seed):
    gradient = mg.exact.gradient(*ladder.two_double_integrators())
    samples = double_integrators(2**13, np.random.default_rng(seed))
    for name, x in samples.items():
        for what in ("cosine", "downhill"):
            here = figure.of(rows["uphill"], name, what).set_index("count")
            for B in (1, 4, 16, 64):
                cosines = convergence.cosine(x.reshape(-1, B, 8).mean(axis=1), gradient)
                values = cosines if what == "cosine" else (cosines < 0).astype(float)
                error = max(values.std(ddof=1), 1 / math.sqrt(len(values))) / math.sqrt(len(values))
                error = math.hypot(error, here.loc[B, "stderr"])
                assert abs(values.mean() - here.loc[B, "value"]) < 5 * error, (name, what, B)
                if (name, what) == ("reparameterization", "cosine") and B < 64:  # planted: batches of another size
                    assert abs(values.mean() - here.loc[4 * B, "value"]) > 5 * error, (name, B)


# ---- batches -----------------------------------------------------------------------------------------------------


def test_what_batches_do_to_baselines(rows):
    """1 - 1/G, exactly; leave one out is that divided by it; for large G the exact J."""
    exact = rows["batches"].set_index(["estimator", "what", "count"])["exact"]
    for G in (2, 4, 8, 16, 32, 64):
        assert exact["same-batch mean", "mean", G] == pytest.approx(1 - 1 / G, rel=1e-12)
        assert exact["score function, leave one out", "mean", G] == pytest.approx(1, rel=1e-12)
        shrunk = exact["score function, leave one out", "variance", G] * (1 - 1 / G) ** 2
        assert exact["same-batch mean", "variance", G] == pytest.approx(shrunk, rel=1e-12)
        assert exact["score function", "variance", G] == pytest.approx(1)
    assert exact["score function, leave one out", "variance", 4] == pytest.approx(
        4 * 81.44475593 / 633.34557354, rel=1e-8
    )
    level = exact["score function, baseline J", "variance", 64]
    assert exact["score function, leave one out", "variance", 64] == pytest.approx(level, rel=0.02)
    seen = rows["batches"][rows["batches"]["value"].notna()]
    assert len(seen) == 12 and (np.abs(seen["value"] - seen["exact"]) < 5 * seen["stderr"]).all()
    shrunk = seen[(seen["estimator"] == "same-batch mean") & (seen["what"] == "mean")]
    assert (np.abs(shrunk["value"] - 1) > 5 * shrunk["stderr"]).all()  # planted: unbiased


def test_the_figure_says_what_is_in_the_results(results, rows):
    text = figure.describe(rows, files.read("coverage").rows, results.about)
    assert "a single trajectory points downhill in 65~% of cases" in text and "takes 73 times the trajectories" in text
    report = convergence.STUDY.report(results.rows.replace({np.nan: None}).to_dict("records"))
    assert (
        "G = 64: same-batch mean, mean 0.9844" in report
        and "reparameterization: uphill in 95 of 100 batches of 2" in report
    )
