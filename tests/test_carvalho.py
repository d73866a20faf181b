"""The figures after Carvalho et al. (2021): their CSV files against closed forms and the values of the released code."""

import numpy as np
import pytest
from test_literature import results, worst

import mcgrad as mg
from studies import carvalho_2021_systems as systems


def test_errors_of_a_critic_cross_where_predicted():
    rows = results("carvalho_2021")
    crossing = rows[rows["estimator"] == "crossing"].sort_values("dimension")
    d = crossing["dimension"].to_numpy()
    assert crossing["frequency"].tolist() == pytest.approx((1.59, 2.76, 5.03, 7.29), abs=0.006)
    assert crossing["frequency"].to_numpy() == pytest.approx(np.sqrt(d * (d + 1) / 2) / (2 * np.pi * 0.1), rel=1e-9)
    assert not crossing["frequency"].to_numpy() == pytest.approx(
        np.sqrt(d * (d + 1) / 2) / (2 * np.pi * 0.101), rel=1e-3
    )
    rows = rows[rows["estimator"] != "crossing"]
    high = rows[(rows["estimator"] == "measure-valued") & (rows["frequency"] == 1000.0)]
    assert (high["exact_variance"] / (2 * high["dimension"])).to_numpy() == pytest.approx(
        1 / (2 * np.pi * 0.01), rel=0.01
    )
    assert worst(rows) < 5
    assert worst(rows.assign(exact_variance=1.1 * rows["exact_variance"])) > 5


# System -> V and |grad V| at the released gains, in -K; the first also has both components.
PUBLISHED = {
    "2 states, 1 action": (-4013.7, 20365.1),
    "2 states, 2 actions": (-10844, 26787.1),
    "4 states, 4 actions": (-243911, 949732),
    "6 states, 6 actions": (-51682.7, 491216),
}


def test_the_systems_are_those_that_were_released():
    rows = results("carvalho_2021_systems")
    for name, (value, norm) in PUBLISHED.items():
        here = rows[rows["system"] == name]
        assert here["value"].unique() == pytest.approx(value, rel=2e-5)
        assert here["norm"].unique() == pytest.approx(norm, rel=5e-6)
    assert systems.exact("2 states, 1 action")[0] == pytest.approx([-20340.8, -994.887], rel=1e-6)


def test_several_actions_are_as_good_as_their_covariances_say():
    rows = results("carvalho_2021_systems")
    looked = rows[rows["looks"] > 0]
    apart = np.abs(looked["square"] - looked["exact_square"]) / looked["square_stderr"]
    assert apart.max() < 5 and len(looked) == 96
    assert (np.abs(looked["square"] - 1.4 * looked["exact_square"]) / looked["square_stderr"]).median() > 5
    # Both measures of the paper are to leading order: good where the estimate is.
    good = looked[(looked["exact_cosine"] < 0.01) & (looked["estimator"] != systems.PATH)]
    for merit in ("error", "cosine"):
        assert (good[merit] / good[f"exact_{merit}"]).median() == pytest.approx(1.0, abs=0.05)
    for name, own in looked.groupby("system"):
        gradient, of_states, of_looks = systems.exact(name)
        row = own[(own["estimator"] == systems.SCORE) & (own["samples"] == 3)].iloc[0]
        S = systems.covariance(of_states, of_looks, systems.SCORE, 3, row["actions"], 1)
        assert row["exact_square"] == pytest.approx(np.trace(S) / (gradient @ gradient), rel=1e-9)
    at = looked[looked["samples"] == 1].set_index(["system", "estimator"])["exact_square"]
    for name in systems.SYSTEMS:
        assert at[name, systems.PATH] < at[name, systems.MEASURE] < at[name, systems.SCORE]


def test_the_all_action_gradient_is_that_of_the_library(monkeypatch):
    """Its covariance over states, with the stationary critic as terminal cost; another discount is seen."""
    A, B, K = (np.array(x) for x in systems.SYSTEMS["2 states, 2 actions"])
    F, _, _, H, _ = systems.system("2 states, 2 actions")
    stage = systems.STATE_COST * np.eye(2) + systems.ACTION_COST * K.T @ K
    P = np.linalg.solve(np.eye(4) - systems.DISCOUNT * np.kron(F.T, F.T), stage.ravel()).reshape(2, 2)
    environment = mg.environments.linear_quadratic(
        A, B, 1.5 * np.eye(2), 1.2 * np.eye(2), terminal_cost=P, initial_mean=[9.0, 9.0], initial_cov=np.zeros((2, 2))
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(2, 2, std=systems.STD), 6, systems.DISCOUNT)
    gradient, covariance, _ = systems.exact("2 states, 2 actions", 6)
    theta = -K.ravel()
    assert mg.exact.gradient(problem, theta) == pytest.approx(gradient, rel=1e-9)
    variance = mg.exact.variance(problem, theta, mg.estimators.all_actions())
    assert np.diag(covariance) == pytest.approx(variance, rel=1e-8)
    monkeypatch.setattr(systems, "DISCOUNT", 0.98)
    assert not np.diag(systems.exact("2 states, 2 actions", 6)[1]) == pytest.approx(variance, rel=1e-3)


@pytest.mark.parametrize("name", ["2 states, 2 actions"])
def test_looks_have_the_covariances_of_the_formulas(name, seed):
    """One state, many looks: the three covariances, by sampling in plain NumPy."""
    _, _, gain, H, _ = systems.system(name)
    d, std, rng = len(H), systems.STD, np.random.default_rng([seed, 3])
    G = gain @ np.full(len(gain[0]), 0.01)  # near the goal, where all terms count
    z, W = rng.standard_normal((400_000, d)), rng.rayleigh(size=(400_000, d))

    def Q(a):  # less its value at the mean action
        return std * a @ G - std**2 * ((a @ H) * a).sum(axis=-1)

    score = z * ((Q(z) + std**2 * np.trace(H)) / std)[:, None]
    assert np.cov(score.T) == pytest.approx(formula(G, H, std)["score"], rel=0.03)
    measure = np.empty_like(z)
    for i in range(d):
        up, down = z.copy(), z.copy()
        up[:, i], down[:, i] = W[:, i], -W[:, i]
        measure[:, i] = (Q(up) - Q(down)) / (np.sqrt(2 * np.pi) * std)
    assert measure.var(axis=0) == pytest.approx(formula(G, H, std)["measure"], rel=0.03)
    assert not measure.var(axis=0) == pytest.approx(formula(G, H, 1.5 * std)["measure"], rel=0.03)


def formula(G, H, std):
    """Return what the study's docstring says of a state."""
    squared = H @ H
    score = G @ G * np.eye(len(G)) + np.outer(G, G) + std**2 * (2 * np.trace(squared) * np.eye(len(G)) + 8 * squared)
    measure = (4 / np.pi - 1) * G**2 + 16 / np.pi * std**2 * (np.diag(squared) - np.diag(H) ** 2)
    return {"score": score, "measure": measure}
