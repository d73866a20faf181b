"""Rewards that see the policy: entropies and divergences in the reward and in the loss."""

import numpy as np
import pytest
from one_step_problems import one_step, z_of
from support import SEED

import mcgrad as mg
from mcgrad import estimators as E


def test_entropy_regularised_bandit():
    """J = sum_k pi_k q_k + tau H(pi), dJ/dtheta_j = pi_j (q_j - tau log pi_j - sum_k pi_k (q_k - tau log pi_k))."""
    q, tau, theta = np.array([1.0, 0.2, -0.5]), 0.7, np.array([0.3, -0.2, 0.1])
    pi = np.exp(theta) / np.exp(theta).sum()
    soft = q - tau * np.log(pi)
    truth = pi * (soft - pi @ soft)
    table = {"q": q}
    by_log_prob = one_step(
        reward=lambda p, s, a, s_next, w, log_prob: mg.lookup(p.q, a[0]) - tau * log_prob, choices=3, params=table
    )

    def with_entropy(p, s, a, s_next, w, eta):
        weights = [np.exp(x) for x in eta]
        total = sum(weights)
        return mg.lookup(p.q, a[0]) - tau * sum(x / total * np.log(x / total) for x in weights)

    by_eta = one_step(reward=with_entropy, choices=3, params=table)
    for environment in (by_log_prob, by_eta):
        problem = mg.Problem(environment, mg.policies.softmax(1, 3), 1)
        estimators = {"SF": E.score_function(), "to go": E.reward_to_go(0.5), "loo": E.leave_one_out(2)}
        found = mg.measure(problem, theta, estimators, 40_000, SEED, machine="numpy")
        for name in estimators:
            assert z_of(found[name], truth) < 5.0, name


def test_entropy_bonus_of_a_linear_quadratic_problem():
    """The entropy of a Gaussian is a constant plus its log std: the bonus adds tau sum_t gamma^t to that derivative alone."""
    tau, T, gamma = 0.5, 6, 0.9
    plain = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    policy = mg.policies.linear_gaussian(1, 1, std=0.5, learn_std=True)
    theta = policy.theta([-0.6])
    truth = mg.exact.gradient(mg.Problem(plain, policy, T, gamma), theta)
    truth = truth + [0.0, tau * sum(gamma**t for t in range(T))]
    own = plain.reward
    bonus = {
        "eta": lambda p, s, a, s_next, w, eta: own(p, s, a, s_next, w) + tau * eta[1],
        "log_prob": lambda p, s, a, s_next, w, log_prob: own(p, s, a, s_next, w) - tau * log_prob,
    }
    for name, reward in bonus.items():
        environment = mg.Environment(**{x: getattr(plain, x) for x in plain.__dataclass_fields__} | {"reward": reward})
        problem = mg.Problem(environment, policy, T, gamma)
        estimators = {"to go": E.reward_to_go(), "pathwise": E.reparameterization(), "ES": E.evolution_strategies(0.01)}
        found = mg.measure(problem, theta, estimators, 40_000, SEED, machine="numpy")
        for x in estimators:
            assert z_of(found[x], truth) < 5.0, (name, x)
        with pytest.raises(mg.exact.NoClosedForm):  # the theory knows another reward
            mg.exact.gradient(problem, theta, work=0)


def kl_problem(k, reference):
    """Return one softmax choice with the reward -k(log p / reference) as estimates of the KL divergence go."""

    def reward(p, s, a, s_next, w, log_prob):
        return -k(log_prob - mg.lookup(p.reference, a[0]))

    return mg.Problem(
        one_step(reward=reward, choices=3, params={"reference": np.log(reference)}), mg.policies.softmax(1, 3), 1
    )


def test_kl_in_the_loss_and_in_the_reward():
    """k1 = log p/r, k2 = k1^2 / 2, k3 = r/p - 1 + k1, enumerated: in the loss with sampled actions as data, or as a reward."""
    reference, theta = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.1, -0.6])
    pi = np.exp(theta) / np.exp(theta).sum()
    ratio = np.log(pi / reference)
    scores = np.eye(3) - pi
    slope_of_kl = pi * (ratio - pi @ ratio)
    kinds = {
        "k1": (lambda x: x, ratio, np.ones(3)),
        "k2": (lambda x: 0.5 * x * x, 0.5 * ratio**2, ratio),
        "k3": (lambda x: np.exp(-x) - 1.0 + x, np.exp(-ratio) - 1.0 + ratio, 1.0 - np.exp(-ratio)),
    }
    for name, (k, value, slope) in kinds.items():
        in_loss = -(pi * slope) @ scores
        in_reward = in_loss - (pi * value) @ scores
        problem = kl_problem(k, reference)
        estimators = {"loss": E.direct_derivative(), "reward": E.reward_to_go()}
        found = mg.measure(problem, theta, estimators, 40_000, SEED, machine="numpy")
        assert z_of(found["loss"], in_loss) < 5.0, name
        assert z_of(found["reward"], in_reward) < 5.0, name
        if name == "k1":
            np.testing.assert_allclose(in_loss, 0.0, atol=1e-15)  # exactly nothing, though its value is the divergence
        if name in ("k1", "k3"):
            np.testing.assert_allclose(in_reward, -slope_of_kl, atol=1e-15)
        if name == "k2":
            np.testing.assert_allclose(in_loss, -slope_of_kl, atol=1e-15)  # right in the loss, wrong as a reward
