"""Values, critics, differential values and gradient news, whatever the problem; tables are DataFrames."""

import numpy as np
import pytest

import mcgrad as mg

SCALAR = mg.Problem(
    mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]]),
    mg.policies.linear_gaussian(1, 1, std=0.5),
    horizon=4,
)
GAIN = np.array([-0.6])
TABLE, LOGITS = mg.Problem(mg.environments.random_walk(5), mg.policies.softmax(5, 2), horizon=4), np.linspace(-1, 1, 10)


def test_tables_of_values():
    V, Q = mg.exact.value(TABLE, LOGITS), mg.exact.critic(TABLE, LOGITS)
    rows = V.table()
    assert list(rows.columns) == ["t", "s", "value"] and len(rows) == 5 * 5
    np.testing.assert_array_equal(rows.pivot(index="t", columns="s", values="value"), V.V)
    rows = Q.table()
    assert list(rows.columns) == ["t", "s", "a", "value"] and len(rows) == 4 * 5 * 2
    np.testing.assert_array_equal(rows["value"].to_numpy().reshape(4, 5, 2), Q.Q)
    assert Q.table(states=[[3]], actions=[[1]])["value"].tolist() == Q.Q[:, 3, 1].tolist()


def test_tables_of_values_at_given_states():
    V, Q, s, a = mg.exact.value(SCALAR, GAIN), mg.exact.critic(SCALAR, GAIN), [[0.5], [1.0]], [[0.0], [0.2], [0.4]]
    rows = V.table(s)
    np.testing.assert_allclose(rows[rows["t"] == 2]["value"], V(2, s), rtol=1e-14)
    rows = Q.table(s, a).set_index(["t", "s", "a"])["value"]
    np.testing.assert_allclose(rows[3, 1.0, 0.2], Q(3, [1.0], [0.2]), rtol=1e-14)
    for table in (V.table, Q.table):
        with pytest.raises(ValueError, match=r"^states: expected an array \(N, 1\), as this is no table"):
            table()
    with pytest.raises(ValueError, match="^actions: expected an array"):
        Q.table(s)


@pytest.mark.parametrize("kind", ["linear-quadratic", "table"])
def test_news_is_what_an_action_changes_of_the_gradient_of_the_critic(kind):
    """Against differences of the critic, less their mean over the actions of the policy."""
    if kind == "table":
        problem, theta, actions = TABLE, LOGITS, np.arange(2.0)[:, None]
        state, chances = np.array([3.0]), mg.exact.critic(problem, theta).policy[3]
    else:
        problem, theta, state = SCALAR, GAIN, np.array([0.7])
        x, chances = np.polynomial.hermite_e.hermegauss(8)
        actions, chances = (GAIN * state + 0.5 * x[:, None]), chances / chances.sum()
    N, step = mg.exact.gradient_news(problem, theta), 1e-5
    for t in (0, 2):
        slopes = []
        for p in range(len(theta)):
            near = [mg.exact.critic(problem, theta + sign * step * np.eye(len(theta))[p]) for sign in (1, -1)]
            up, down = ([Q(t, state, a) for a in actions] for Q in near)
            slopes.append((np.array(up) - down) / (2 * step))
        slopes = np.array(slopes).T
        np.testing.assert_allclose([N(t, state, a) for a in actions], slopes - chances @ slopes, atol=1e-8)
    assert N(0, state, actions[0]).shape == (len(theta),) and N(0, [state, state], actions[:2]).shape == (2, len(theta))


def test_differential_values_obey_bellmans_equation():
    """V(s) = E[r - J + V(s_next) | s], for a quadratic one by the moments of actions and noise."""
    V, J = mg.exact.differential_value(SCALAR, GAIN), mg.exact.average_reward(SCALAR, GAIN)
    s, a_mean, a_var = 0.7, -0.6 * 0.7, 0.25
    reward = -(s**2 + 0.1 * (a_mean**2 + a_var))
    mean, variance = 0.9 * s + 0.5 * a_mean, 0.25 * a_var + 0.04
    np.testing.assert_allclose(V([s]), reward - J - (V.P[0, 0] * (mean**2 + variance) + V.c), rtol=1e-12)
    assert V([[s], [2.0]]).shape == (2,)


def test_differential_values_of_a_table():
    ring = mg.environments.tabular(np.full((3, 2, 3), 1 / 3), np.arange(6.0).reshape(3, 2), np.ones(3) / 3)
    problem, theta = mg.Problem(ring, mg.policies.softmax(3, 2), horizon=4), np.zeros(6)
    V = mg.exact.differential_value(problem, theta)
    np.testing.assert_allclose(
        V.V, [-2.0, 0.0, 2.0], atol=1e-13
    )  # the reward less its mean: where one goes is all the same
    assert V([2]) == V.V[2] and V.P is None


def test_exact_moments_are_a_table():
    estimators = {"to go": mg.estimators.reward_to_go(), "PW": mg.estimators.reparameterization()}
    found = mg.exact.moments(SCALAR, GAIN, estimators, higher=True, full_covariance=True)
    rows = found.table()
    assert list(found) == list(estimators) and len(found) == 2
    assert list(rows.columns) == ["estimator", "parameter", "mean", "variance", "skewness", "kurtosis"]
    assert rows["variance"].tolist() == [found[name].variance[0] for name in found] and "<table" in found._repr_html_()


def test_covariances_are_asked_for_in_one_way():
    """Exact and measured: `covariance` is (P,), `covariance_matrix` (P, P) and there if it was asked for."""
    estimators = {"to go": mg.estimators.reward_to_go(), "PW": mg.estimators.reparameterization()}
    problem, gain = TWO, np.array([-0.6, 0.1])
    for full in (False, True):
        exact = mg.exact.moments(problem, gain, estimators, full_covariance=full)
        measured = mg.measure(problem, gain, estimators, 50, full_covariance=full, machine="numpy", progress=False)
        for found in (exact, measured):
            assert found.covariance("to go", "PW").shape == (2,)
            np.testing.assert_allclose(found.covariance("PW", "PW"), found["PW"].variance)
            if full:
                matrix = found.covariance_matrix("to go", "PW")
                np.testing.assert_allclose(np.diag(matrix), found.covariance("to go", "PW"))
                np.testing.assert_allclose(matrix, found.covariance_matrix("PW", "to go").T)
            else:
                with pytest.raises(ValueError, match="^covariance_matrix: .*full_covariance=True"):
                    found.covariance_matrix("to go", "PW")


TWO = mg.Problem(
    mg.environments.linear_quadratic(0.9 * np.eye(2), [[0.5], [0.2]], np.eye(2), [[0.1]]),
    mg.policies.linear_gaussian(2, 1, std=0.5),
    horizon=3,
)
