"""Importance-weighted score functions: by hand, against exact variances, and against sums over all trajectories."""

import itertools

import numpy as np
import pytest
from support import CASES, reference_problem, standard_errors, stopped

import mcgrad as mg
from mcgrad.estimators.estimator import BehaviourPolicy, RolloutVariant
from mcgrad.exact.linear_quadratic.off_policy import importance_weighted_variance
from mcgrad.exact.linear_quadratic.values import value_forms
from mcgrad.kernels.program import gradient_program

e = mg.estimators
iw, value = e.importance_weighted, mg.baselines.value
COUNT = 400_000


def case(name, **options):
    return reference_problem(next(c for c in CASES if c["id"] == name)["system"], **options)


def test_they_are_their_formulas():
    """From rollouts of the behaviour policy, whose noise is the same: the sums of the module, term by term."""
    problem, theta = case("S10")
    wide = mg.policies.linear_gaussian(2, 2, std=(0.6, 0.8))
    theta_b = theta + 0.1 * np.cos(np.arange(len(theta)))
    b = np.array([-1.0, 0.5, 2.0])
    for behaviour, acting, at in ((None, problem.policy, theta_b), (wide, wide, theta_b[:4])):
        other = mg.Problem(problem.environment, acting, problem.horizon, problem.discount)
        path = mg.rollout(other, at, 30, seed=3, machine="numpy")
        std, std_b = np.exp(theta[4:]), np.exp(theta_b[4:]) if behaviour is None else np.array([0.6, 0.8])
        K, s, a = theta[:4].reshape(2, 2), path.states[:, :-1], path.actions
        x = (a - s @ K.T) / std
        log_w = np.sum(path.noise.action**2 - x**2, axis=2) / 2 + np.sum(np.log(std_b) - np.log(std))
        w = np.exp(np.cumsum(log_w, axis=1))  # w_{0:t}
        z = np.concatenate([((x / std)[..., None] * s[:, :, None]).reshape(30, 3, 4), x**2 - 1], axis=2)
        weights = problem.weights()
        r = np.column_stack([weights[:-1] * path.rewards, weights[-1] * path.terminal])
        R = r.sum(axis=1)
        weighted = r * np.column_stack([w, w[:, -1]])
        to_go = np.cumsum(weighted[:, ::-1], axis=1)[:, :0:-1]
        expected = {
            "trajectory": (w[:, -1] * R)[:, None] * z.sum(axis=1),
            "trajectory - b": w[:, -1:] * np.einsum("ntp,nt->np", z, R[:, None] - b),
            "per decision": np.einsum("ntp,nt->np", z, to_go),
            "per decision - b": np.einsum("ntp,nt->np", z, to_go - w * b),
        }
        chosen = {
            "trajectory": iw(at, behaviour=behaviour),
            "trajectory - b": iw(at, baseline=b, behaviour=behaviour),
            "per decision": iw(at, "per decision", behaviour=behaviour),
            "per decision - b": iw(at, "per decision", b, behaviour=behaviour),
        }
        found = mg.sample(problem, theta, chosen, 30, seed=3, machine="numpy")
        for name in chosen:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_self_normalised_groups_are_their_formula():
    from mcgrad.rollouts import trajectories
    from mcgrad.run import run_kernel

    problem, theta = case("S02")
    theta_b, G = theta + [0.1, -0.05], 3
    chosen = {"group": iw(theta_b, "self-normalised", 0.5, group=G)}
    found = mg.sample(problem, theta, chosen, 20, seed=1, machine="numpy")["group"]
    program = gradient_program(problem, theta, {"one": iw(theta_b, baseline=0.5)})
    weighted, total = 0.0, 0.0
    for first in (k << 60 for k in range(G)):  # the k-th trajectory of group i draws the noise of trajectory i + k 2^60
        path = trajectories(problem, theta_b, 20, 1, first, "numpy")
        x = (path.actions - theta[0] * path.states[:, :-1]) * np.exp(-theta[1])
        log_w = np.sum(path.noise.action**2 - x**2, axis=(1, 2)) / 2 + problem.horizon * (theta_b[1] - theta[1])
        total = total + np.exp(log_w)
        weighted = weighted + run_kernel(program, 1, first, 20, "numpy").reshape(2, 20).T
    np.testing.assert_allclose(found, weighted / total[:, None], rtol=1e-9)


def test_on_the_policy_weights_are_one():
    problem, theta = case("S04")
    chosen = {
        "R Z": iw(theta, baseline=-2.0),
        "to go": iw(theta, "per decision", value()),
        "group": iw(theta, "self-normalised", group=2),
        "score function": e.score_function(-2.0),
        "reward to go": e.reward_to_go(value()),
    }
    found = mg.sample(problem, theta, chosen, 40, seed=2, machine="numpy")
    np.testing.assert_allclose(found["R Z"], found["score function"], rtol=1e-11)
    np.testing.assert_allclose(found["to go"], found["reward to go"], rtol=1e-11)
    assert not np.allclose(found["group"], found["R Z"])


@pytest.mark.parametrize("case_id", ["S02", "S10"])
def test_exact_mean_and_variance(case_id, seed):
    problem, theta = case(case_id)
    theta_b = theta + 0.05 * np.cos(1.7 * np.arange(len(theta)))
    chosen = {
        "trajectory": iw(theta_b),
        "trajectory - b": iw(theta_b, baseline=-1.5),
        "trajectory - V": iw(theta_b, baseline=value()),
        "per decision": iw(theta_b, "per decision"),
        "per decision - V": iw(theta_b, "per decision", value()),
    }
    by_numpy, by_simd = (mg.sample(problem, theta, chosen, 20, machine=x) for x in ("numpy", "simd"))
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    gradient = mg.exact.gradient(problem, theta)
    for name, estimator in chosen.items():
        np.testing.assert_allclose(by_simd[name], by_numpy[name], rtol=1e-9, atol=1e-9)
        exact = mg.exact.variance(problem, theta, estimator)
        np.testing.assert_array_equal(mg.exact.mean(problem, theta, estimator), gradient)
        assert standard_errors(found[name], gradient, exact) < 5, name
        # Without the weights it would be the gradient of the behaviour, which is not the same.
        assert standard_errors(found[name], mg.exact.gradient(problem, theta_b), exact) > 5, name
        assert found[name].rollouts == 1
    on_policy = mg.exact.variance(problem, theta, e.score_function())
    assert standard_errors(found["trajectory"], gradient, on_policy) > 5


def test_exact_variance_on_the_policy_is_that_of_the_chain():
    """The stacked Gaussians against the martingale increments: other formulas, other code."""
    for name in ("S05", "S08", "S10"):
        problem, theta = case(name)
        s = mg.exact.system(problem, theta)
        constant = np.zeros((s.horizon, 1, 1 + s.states, 1 + s.states))
        constant[..., 0, 0] = -0.7
        for ours, forms, other in (
            ("trajectory", None, e.score_function()),
            ("trajectory", constant, e.score_function(-0.7)),
            ("per decision", None, e.reward_to_go()),
            ("per decision", value_forms(s)[:-1], e.reward_to_go(mg.baselines.value())),
        ):
            found = importance_weighted_variance(s, s, forms, ours)
            np.testing.assert_allclose(found, mg.exact.variance(problem, theta, other), rtol=1e-10)


def test_exact_variance_by_quadrature():
    """One step of a scalar system from a fixed start: an integral over the noise of the one action."""
    environment = mg.environments.linear_quadratic(
        [[0.9]], [[0.5]], [[1.0]], [[0.1]], terminal_cost=[[2.0]], initial_mean=[1.5], initial_cov=[[0.0]]
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 1)
    behaviour = mg.policies.linear_gaussian(1, 1, std=0.8)
    theta, theta_b = -0.4, -0.9
    estimator = iw([theta_b], behaviour=behaviour)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    a = 1.5 * theta_b + 0.8 * nodes
    x = (a - 1.5 * theta) / 0.5
    w = 0.8 / 0.5 * np.exp((nodes**2 - x**2) / 2)
    g = w * -(1.5**2 + 0.1 * a**2 + 2.0 * (0.9 * 1.5 + 0.5 * a) ** 2) * x / 0.5 * 1.5
    np.testing.assert_allclose(weights @ g, mg.exact.gradient(problem, [theta]), rtol=1e-9)
    np.testing.assert_allclose(
        weights @ g**2 - (weights @ g) ** 2, mg.exact.variance(problem, [theta], estimator), rtol=1e-9
    )
    group = iw([theta_b], "self-normalised", behaviour=behaviour, group=2)
    limits, mean = mg.exact.self_normalised_limits(problem, [theta], group), weights @ g
    np.testing.assert_allclose(limits.bias, mean * (weights @ w**2) - weights @ (w * g), rtol=1e-9)
    np.testing.assert_allclose(limits.variance, weights @ (g - w * mean) ** 2, rtol=1e-9)


def test_variances_that_are_infinite():
    environment = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]])
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 1)

    def variance(theta_b, std):
        return mg.exact.variance(problem, [-0.4], iw([theta_b], behaviour=mg.policies.linear_gaussian(1, 1, std=std)))[
            0
        ]

    # s_0 ~ N(0, 1): E exp((K - K_b)^2 s^2 / std^2) is finite for 2 (K - K_b)^2 < std^2.
    edge = 0.5 / np.sqrt(2)
    assert np.isfinite(variance(-0.4 - 0.99 * edge, 0.5))
    assert variance(-0.4 - 1.01 * edge, 0.5) == np.inf
    assert np.isfinite(variance(-0.4, 1.01 * edge))
    assert variance(-0.4, 0.99 * edge) == np.inf


def test_self_normalised_weights_have_a_bias_that_is_known_for_large_groups(seed):
    problem, theta = case("S02", learn_std=False)
    theta_b = theta + 0.05 * np.cos(1.7 * np.arange(len(theta)))
    G = 8
    estimator = iw(theta_b, "self-normalised", group=G)
    found = mg.measure(problem, theta, {"SN": estimator}, COUNT // 2, seed)["SN"]
    limits = mg.exact.self_normalised_limits(problem, theta, estimator)
    bias, error = G * (found.mean - mg.exact.gradient(problem, theta)), G * found.stderr
    assert np.max(np.abs(bias) / error) > 5  # the bias is seen, and is what it should be up to 1/G of itself
    assert (np.abs(bias - limits.bias) < 5 * error + 2 / G * np.abs(limits.bias)).all()
    np.testing.assert_allclose(G * found.variance, limits.variance, rtol=2 / G)
    assert found.rollouts == G
    with pytest.raises(mg.exact.NoClosedForm, match="closed forms for large groups alone"):
        mg.exact.variance(problem, theta, estimator, work=0)


# ---- discrete actions: all trajectories there are ----------------------------------------------------------------


def two_states(horizon=3):
    """Return (problem, P, r, start) of a problem of two states and two actions."""
    P = np.array([[[0.7, 0.3], [0.2, 0.8]], [[0.4, 0.6], [0.9, 0.1]]])
    r, start = np.array([[1.0, -0.5], [0.3, 2.0]]), np.array([0.6, 0.4])
    environment = mg.environments.tabular(P, r, start, terminal=[0.5, -1.0])
    return mg.Problem(environment, mg.policies.softmax(2, 2), horizon, 0.9), P, r, start


def enumerated(horizon, theta, theta_b):
    """Return the probabilities of all trajectories under theta_b, and their weights, returns and gradients."""
    problem, P, r, start = two_states(horizon)
    pi, pi_b = (np.exp(x.reshape(2, 2)) / np.exp(x.reshape(2, 2)).sum(axis=1, keepdims=True) for x in (theta, theta_b))
    rows = []
    for path in itertools.product((0, 1), repeat=2 * horizon + 1):
        s, a = path[0::2], path[1::2]
        chance, w, Z, whole, partial, R = start[s[0]], 1.0, np.zeros((2, 2)), 0.0, 0.0, 0.0
        for t in range(horizon):
            chance *= pi_b[s[t], a[t]] * P[s[t], a[t], s[t + 1]]
            w *= pi[s[t], a[t]] / pi_b[s[t], a[t]]
            Z = Z.copy()
            Z[s[t]] += np.eye(2)[a[t]] - pi[s[t]]
            reward = 0.9**t * r[s[t], a[t]] + (0.9**horizon * [0.5, -1.0][s[-1]] if t == horizon - 1 else 0.0)
            R += reward
            partial = partial + w * reward * Z  # sum_k w_{0:k} r_k Z_{0:k}
        whole = R * Z
        rows.append((chance, w, whole.ravel(), partial.ravel()))
    return problem, *(np.array(x) for x in zip(*rows, strict=True))


def test_all_trajectories_of_two_states(seed):
    theta, theta_b = np.array([0.3, -0.2, 0.1, 0.6]), np.array([0.0, 0.2, 0.4, 0.1])
    problem, chance, w, whole, partial = enumerated(3, theta, theta_b)
    chosen = {"trajectory": iw(theta_b), "per decision": iw(theta_b, "per decision")}
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    gradient = mg.exact.gradient(problem, theta)
    for name, g in (("trajectory", w[:, None] * whole), ("per decision", partial)):
        np.testing.assert_allclose(chance @ g, gradient, rtol=1e-12)
        assert standard_errors(found[name], gradient, chance @ g**2 - gradient**2) < 5, name
    swapped = chance @ (w[:, None] * whole) ** 2 - gradient**2
    assert standard_errors(found["per decision"], gradient, swapped) > 5


def test_all_pairs_of_trajectories_of_two_states(seed):
    """A group of two with self-normalised weights: its bias and its variance, exactly."""
    theta, theta_b = np.array([0.3, -0.2, 0.1, 0.6]), np.array([-0.5, 0.9, 0.9, -0.3])
    problem, chance, w, whole, _ = enumerated(2, theta, theta_b)
    found = mg.measure(problem, theta, {"SN": iw(theta_b, "self-normalised", group=2)}, COUNT, seed)["SN"]
    both, top = np.outer(chance, chance), w[:, None] * whole
    g = (top[:, None] + top[None]) / (w[:, None] + w[None])[..., None]
    mean = np.einsum("ij,ijp->p", both, g)
    assert standard_errors(found, mean, np.einsum("ij,ijp->p", both, g**2) - mean**2) < 5
    assert (np.abs(found.mean - mg.exact.gradient(problem, theta)) / found.stderr).max() > 10


def test_episodes_that_end(seed):
    """Steps after the end have no weight."""
    problem, _ = stopped(6, terminal=None)
    theta, theta_b = np.array([-0.4]), [-0.55]
    chosen = {"SF": e.reward_to_go(1.5), "IW": iw(theta_b, baseline=1.5), "PD": iw(theta_b, "per decision", 1.5)}
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    for name in ("IW", "PD"):
        assert abs(found[name].mean - found["SF"].mean) < 5 * np.hypot(found[name].stderr, found["SF"].stderr), name
    path = mg.rollout(mg.Problem(problem.environment, problem.policy, 6, 0.9), theta_b, 40, seed=7, machine="numpy")
    sampled = mg.sample(problem, theta, {"IW": iw(theta_b)}, 40, seed=7, machine="numpy")["IW"][:, 0]
    for k, length in enumerate(path.lengths):
        s, a = path.states[k, :length, 0], path.actions[k, :length, 0]
        x, R = (a - theta[0] * s) / 0.7, np.sum(0.9 ** np.arange(length) * path.rewards[k, :length])
        w = np.exp(np.sum(path.noise.action[k, :length, 0] ** 2 - x**2) / 2)
        np.testing.assert_allclose(sampled[k], w * R * np.sum(x / 0.7 * s), rtol=1e-9)


def test_long_horizons_do_not_overflow():
    """Log weights near -1000: products vanish, they do not become NaN."""
    environment = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.2]])
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.3), 3000)
    chosen = {"PD": iw([-0.9], "per decision"), "T": iw([-0.9]), "SN": iw([-0.9], "self-normalised", group=2)}
    found = mg.sample(problem, [-0.2], chosen, 32, machine="numpy")
    assert all(np.isfinite(x).all() for x in found.values())
    assert (found["T"] == 0.0).all()
    assert (found["SN"] != 0.0).all()
    assert (found["PD"] != 0.0).all()


def test_another_behaviour_does_not_compile_again():
    problem, theta = case("S04")
    kernels = {gradient_program(problem, theta, {"IW": iw(theta + shift)}).kernel for shift in (0.1, 0.2)}
    assert len(kernels) == 1
    stds = {
        gradient_program(
            problem, theta, {"IW": iw(theta[:2], behaviour=mg.policies.linear_gaussian(2, 1, std=x))}
        ).kernel
        for x in (0.1, 0.2)
    }
    assert len(stds) == 1


def test_what_is_refused():
    problem, theta = case("S02")
    refused = [
        (
            "weights: expected 'trajectory', 'per decision' or 'self-normalised', got str 'none'",
            (theta, "none"),
            {},
        ),
        (
            "group: expected a number from 2 to 64 with self-normalised weights, got None",
            (theta, "self-normalised"),
            {},
        ),
        ("group: expected None without self-normalised weights, got 4", (theta,), {"group": 4}),
        ("group: expected a whole number from 2 to 64, got 1", (theta, "self-normalised"), {"group": 1}),
        ("behaviour: expected a Policy, got float 0.3", (theta,), {"behaviour": 0.3}),
        ("behaviour_theta: expected finite numbers", ([np.nan, 0.0],), {}),
        ("baseline: expected one that is not optimal", (theta, "trajectory", mg.baselines.optimal_over_time()), {}),
        ("baseline: expected one that is not optimal", (theta, "trajectory", mg.baselines.optimal_constant()), {}),
    ]
    for message, arguments, options in refused:
        with pytest.raises(ValueError, match=message):
            iw(*arguments, **options)
    later = [
        (r"behaviour_theta: expected shape \(2,\), got \(1,\)", iw(theta[:1])),
        (
            "behaviour: expected a policy with states = 1, as the problem's, got 2",
            iw(np.zeros(2), behaviour=mg.policies.linear_gaussian(2, 1, std=0.3)),
        ),
        (
            "behaviour: expected a policy with noises = 1, as the problem's, got 0",
            iw(np.zeros(2), behaviour=mg.policies.softmax(1, 2)),
        ),
    ]
    for message, estimator in later:
        with pytest.raises(ValueError, match=message):
            mg.sample(problem, theta, {"IW": estimator}, 10, machine="numpy")
    deterministic = mg.Problem(problem.environment, mg.policies.linear_gaussian(1, 1, std=0.0), 3)
    with pytest.raises(ValueError, match="density"):
        mg.sample(deterministic, theta[:1], {"IW": iw(theta[:1])}, 10, machine="numpy")
    # Mirrored noise of a behaviour is fine, a perturbation of its parameters is not.
    assert np.isfinite(mg.sample(problem, theta, {"pair": e.antithetic(iw(theta))}, 10, machine="numpy")["pair"]).all()
    perturbed = RolloutVariant(shift=1, width=0.1)
    with pytest.raises(ValueError, match="at two other parameters at once"):
        perturbed.of(RolloutVariant(behaviour=BehaviourPolicy((0.0,))))
