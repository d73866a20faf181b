"""Estimators of a policy gradient that know nothing but N trajectories, on one small table, many times over.

They are functions of how often each transition was seen at each time. With the fitted laws P_t, values V and their
derivatives dV, and frequencies f_t of the data:

    plug-in             the gradient of the fitted table, a law for each time
    pooled plug-in      ... one law for all times
    one step, two folds E_f dV_0 + sum_t E_f [zeta_t omega_t + n_t], fitted on one half, averaged over the other
    fitted all actions  sum_t E_f sum_a pi z Q_t, both of the same data

All but the pooled one tend to the Markov bound, the last to that and sum_t E Cov(dQ_t | s_t), which actions would tell if it
looked at them; the pooled one to the stationary bound. Everything here is an array over replications R.
"""

from typing import NamedTuple

import numpy as np

import mcgrad as mg
from mcgrad import estimators as e

STATES, ACTIONS, HORIZON, DISCOUNT = 3, 2, 4, 0.9


SEED = 60  # one of many tables, on which the limits are far enough apart to be seen


def problem(seed=SEED):
    """Return a random table whose rewards are known functions of (s, a, s_next), and theta."""
    rng = np.random.default_rng(seed)
    environment = mg.environments.tabular(
        rng.dirichlet(np.full(STATES, 0.3), size=(STATES, ACTIONS)),
        rng.normal(size=(STATES, ACTIONS, STATES)),
        rng.dirichlet(np.ones(STATES)),
    )
    return mg.Problem(environment, mg.policies.softmax(STATES, ACTIONS), HORIZON, DISCOUNT), rng.normal(
        size=STATES * ACTIONS
    )


class Known(NamedTuple):
    """What is known beforehand: rewards (S, A, S), the policy (S, A) and its score (S, A, P)."""

    reward: np.ndarray
    policy: np.ndarray
    score: np.ndarray


class Fit(NamedTuple):
    """A table for each replication with its values; (R, S), (R, T, S, A, S), then lists over time."""

    start: np.ndarray
    P: np.ndarray
    V: list
    Q: list
    dV: list
    dQ: list


def errors(N, replications, seed, table=SEED):
    """Return rows: N times the mean squared error, summed over the parameters, and the limit."""
    p, theta = problem(table)
    s = mg.exact.system(p, theta)
    known = Known(s.reward, s.policy, s.score)
    rng = np.random.default_rng([seed, N])
    halves = [draw(s, size, replications, rng) for size in (N // 2, N - N // 2)]
    start, counts = (sum(x) for x in zip(*halves, strict=True))
    fit = fitted(known, start, counts)
    pooled = fitted(known, start, np.repeat(counts.sum(axis=1, keepdims=True), HORIZON, axis=1))
    estimates = {
        "plug-in": gradient(known, fit),
        "pooled plug-in": gradient(known, pooled),
        "one step, two folds": one_step(known, halves),
        "fitted all actions": all_actions(known, fit, counts),
    }
    markov, stationary = (mg.exact.efficiency_bound(p, theta, model).sum() for model in ("markov", "stationary"))
    tree = mg.exact.efficiency_bound(p, theta, "tree").sum()
    news = mg.exact.variance(p, theta, e.trajectory_control_variate()).sum() - tree
    limits = dict.fromkeys(estimates, markov) | {"pooled plug-in": stationary, "fitted all actions": markov + news}
    truth, found = mg.exact.gradient(p, theta), []
    for name, estimate in estimates.items():
        square = N * np.sum((estimate - truth) ** 2, axis=1)
        error = float(square.std(ddof=1) / np.sqrt(len(square)))
        row = {"estimator": name, "value": float(square.mean()), "stderr": error, "limit": float(limits[name])}
        found.append({"horizon": HORIZON, "count": N} | row)
    return found


def levels():
    """Return rows: exact variances of one trajectory, summed over the parameters, of what has no limit but is as it is."""
    p, theta = problem()
    exact = {
        "reward to go, value baseline": e.reward_to_go(mg.baselines.value()),
        "doubly robust": e.doubly_robust(),
        "all actions": e.all_actions(),
    }
    return [
        {"horizon": HORIZON, "estimator": name, "value": float(mg.exact.variance(p, theta, x).sum())}
        | {"knows": e.knows(x).kind}
        for name, x in exact.items()
    ]


def draw(s, N, replications, rng):
    """Return how often N trajectories started in each state, (R, S), and made each transition, (R, T, S, A, S)."""
    start = rng.multinomial(N, s.start, size=replications)
    here, counts = start, []
    for _ in range(HORIZON):
        acted = rng.multinomial(here, s.policy)
        moved = rng.multinomial(acted, s.P)
        counts.append(moved)
        here = moved.sum(axis=(1, 2))
    return start, np.stack(counts, axis=1)


def fitted(known, start, counts):
    """Return the `Fit` of counts; where a pair was never seen at a time, what was seen of it at others, else anything."""
    never = np.full(counts.shape[-1], 1e-9)
    P = counts + 1e-6 * (counts.sum(axis=1, keepdims=True) + never)
    P = P / P.sum(axis=-1, keepdims=True)
    start = start / start.sum(axis=1, keepdims=True)
    V, dV = [np.zeros(start.shape)], [np.zeros((*start.shape, known.score.shape[-1]))]
    Q, dQ = [], []
    for t in reversed(range(HORIZON)):
        paid = DISCOUNT**t * known.reward + V[0][:, None, None]
        Q.insert(0, np.sum(P[:, t] * paid, axis=-1))
        dQ.insert(0, np.einsum("rsax,rxp->rsap", P[:, t], dV[0], optimize=True))
        V.insert(0, np.sum(known.policy * Q[0], axis=-1))
        dV.insert(0, np.einsum("sa,rsap->rsp", known.policy, dQ[0] + known.score * Q[0][..., None], optimize=True))
    return Fit(start, P, V, Q, dV, dQ)


def gradient(known, fit):
    """Return the gradients of fitted tables, (R, P)."""
    return np.einsum("rs,rsp->rp", fit.start, fit.dV[0])


def all_actions(known, fit, counts):
    """Return the mean over the data of sum_a pi z Q, (R, P)."""
    total, N = 0.0, counts[:, 0].sum(axis=(1, 2, 3))[:, None]
    for t in range(HORIZON):
        visits = counts[:, t].sum(axis=(2, 3))
        total = total + np.einsum("rs,sa,sap,rsa->rp", visits, known.policy, known.score, fit.Q[t], optimize=True)
    return total / N


def one_step(known, halves):
    """Return the mean over two folds of what one is fitted on and the other averaged over, (R, P)."""
    folds = []
    for (start, counts), (other_start, other) in (halves, halves[::-1]):
        fit = fitted(known, start, counts)
        size = other_start.sum(axis=1)[:, None]
        total = np.einsum("rs,rsp->rp", other_start, fit.dV[0])
        mu, m = fit.start, np.zeros_like(fit.dV[0])
        for t in range(HORIZON):
            share = np.divide(m, mu[..., None], out=np.zeros_like(m), where=mu[..., None] > 1e-6)
            zeta = share[:, :, None] + known.score
            f = other[:, t]
            omega = DISCOUNT**t * known.reward + fit.V[t + 1][:, None, None] - fit.Q[t][..., None]
            total = total + np.einsum("rsap,rsa->rp", zeta, (f * omega).sum(axis=-1), optimize=True)
            total = total + np.einsum("rsax,rxp->rp", f, fit.dV[t + 1], optimize=True)
            total = total - np.einsum("rsa,rsap->rp", f.sum(axis=-1), fit.dQ[t], optimize=True)
            now = m[:, :, None] + mu[:, :, None, None] * known.score
            m = np.einsum("sa,rsap,rsax->rxp", known.policy, now, fit.P[:, t], optimize=True)
            mu = np.einsum("rs,sa,rsax->rx", mu, known.policy, fit.P[:, t], optimize=True)
        folds.append((total, size))
    return sum(total for total, _ in folds) / sum(size for _, size in folds)
