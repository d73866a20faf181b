"""The variance of a policy gradient over time, split into trajectory, action and state (Tucker et al. 2018), correctly.

A point mass in the plane, s = (x, y, vx, vy), pushed by an open loop a_t ~ N(mu_t, v I) for 100 steps of .05; cost |s|^2 + .01
|a|^2, discounted by .99 from t on. The estimator at time t is A_t grad log p(a_t), the gradient in mu_t; the law of total
variance splits its covariance:

    sigma_tau    E[Var(A | s, a) grad grad^T]     what happens after t: no baseline of (s, a) helps
    sigma_a      E Var_a(E[A | s, a] grad)        the action: with no baseline, and with the value function
    sigma_s      Var_s E_a(...)                   the state

The paper's claim: sigma_a with the value function is far below sigma_tau, so that a baseline that depends on the action, which
takes sigma_a away, buys little. All of these are traces of Gaussian moments, and exact here. The published curves are sampled
by code with three defects, found by reading and confirmed by simulation:

    process noise    a rollout adds noise of the marginal covariance of the state, not of the transition
    R^2 - Q^2        sigma_tau is estimated as a mean of this, which is (R - Q)^2 only if R has the mean Q: by the first defect
                     it has not
    the gradient     a factor of 2 and a term are missing in what is subtracted from sigma_a

What the released code returns in expectation is exact here, too (`released ...`). The claim holds with correct numbers.

References
----------
Tucker, Bhupatiraju, Gu, Turner, Ghahramani and Levine (2018), The mirage of action-dependent baselines in reinforcement
learning. ICML; arXiv:1802.10031, Figures 1 and 5, and the code released with it.
"""

from typing import NamedTuple

import numpy as np

from mcgrad import study

T, STEP, DISCOUNT, ACTION_COST, SEED = 100, 0.05, 0.99, 0.01, 3
POLICY, PROCESS = 1e-4, 1e-5  # variances; the second is that of the initial state, too
START = np.array([3.0, 4.0, 0.5, -0.5])
A, B = np.eye(4) + STEP * np.eye(4, k=2), STEP * np.eye(4, 2, k=-2)
Q, R, M = np.eye(4), ACTION_COST * np.eye(2), 2
RATE, MOMENTUM = 1e-3, 0.1
UPDATES = (0, 1000, 4000)
LAMBDAS = (0.0, 0.99)
TIMES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 98)
PARTS = ("sigma_s", "sigma_a, no baseline", "sigma_a, value baseline", "sigma_tau")
BATCH = 20_000  # samples of the released code, at each time


class Quadratic(NamedTuple):
    """x'H x + 2 h^T x + c."""

    H: np.ndarray
    h: np.ndarray
    c: float

    def mean(self, mean, cov):
        """Return the expectation for x ~ N(mean, cov)."""
        return float(mean @ self.H @ mean + 2 * self.h @ mean + self.c + np.trace(self.H @ cov))

    def variance(self, mean, cov):
        """Return the variance for x ~ N(mean, cov)."""
        slope = self.H @ mean + self.h
        return float(4 * slope @ cov @ slope + 2 * np.trace(self.H @ cov @ self.H @ cov))

    def spread(self, cov):
        """Return the variance for x + w, w ~ N(0, cov), as a quadratic of x."""
        HC = 4 * self.H @ cov
        return Quadratic(
            HC @ self.H, HC @ self.h, float(4 * self.h @ cov @ self.h + 2 * np.trace(self.H @ cov @ self.H @ cov))
        )

    def shifted(self, cov):
        """Return the expectation for x + w, w ~ N(0, cov), as a quadratic of x."""
        return self._replace(c=self.c + float(np.trace(self.H @ cov)))

    def plus(self, other, times=1.0):
        """Return the sum with a multiple of another."""
        return Quadratic(*(x + times * y for x, y in zip(self, other, strict=True)))


def start_of_the_code():
    """Return mu, (T, 2), where the released code starts."""
    return np.random.RandomState(SEED).randn(T, 2) * np.sqrt(0.3)


def values(mu):
    """Return the cost to go at each time as a `Quadratic` of the state, T + 1 of them."""
    found = [Quadratic(np.zeros((4, 4)), np.zeros(4), 0.0)]
    for t in reversed(range(T)):
        later = found[0]
        push = B @ mu[t]
        c = mu[t] @ R @ mu[t] + POLICY * np.trace(R)
        c += DISCOUNT * (later.mean(push, PROCESS * np.eye(4) + POLICY * B @ B.T))
        h = DISCOUNT * A.T @ (later.H @ push + later.h)
        found.insert(0, Quadratic(Q + DISCOUNT * A.T @ later.H @ A, h, float(c)))
    return found


def states(mu):
    """Return means (T, 4) and covariances (T, 4, 4) of the states."""
    means, covs = [START], [PROCESS * np.eye(4)]
    for t in range(T - 1):
        means.append(A @ means[t] + B @ mu[t])
        covs.append(A @ covs[t] @ A.T + POLICY * B @ B.T + PROCESS * np.eye(4))
    return np.array(means), np.array(covs)


def slopes(mu, value, t):
    """Return (b_0, H, U): with mu_t + e from s the cost to go is (b_0 + H s)^T e + e^T Ue - v tr U above its mean."""
    later = value[t + 1]
    H = 2 * DISCOUNT * B.T @ later.H @ A
    b = 2 * (R @ mu[t] + DISCOUNT * B.T @ (later.H @ B @ mu[t] + later.h))
    return b, H, R + DISCOUNT * B.T @ later.H @ B


def gradients(mu):
    """Return the gradients of the reward to go in mu_t, (T, 2)."""
    value, (means, _) = values(mu), states(mu)
    return -np.array([b + H @ means[t] for t in range(T) for b, H, _ in [slopes(mu, value, t)]])


def ascended(updates):
    """Return mu after gradient ascent as in the released code."""
    mu, running = start_of_the_code(), None
    for _ in range(updates):
        g = gradients(mu)
        running = g if running is None else MOMENTUM * running + (1 - MOMENTUM) * g
        mu = mu + RATE * running
    return mu


def futures(mu, value, noise, weight=1.0):
    """Return at each t the variance of the cost to go given (s_t, a_t), as a quadratic of A s_t + B a_t.

    `noise` is (T + 1, 4, 4), that of the state at t + 1; `weight` is lambda of a generalized advantage, which sees later
    noise less. Two independent increments make the variance of a step, that of the next state and that of the next action.
    """
    after, found = Quadratic(np.zeros((4, 4)), np.zeros(4), 0.0), [None] * T
    for t in reversed(range(T)):
        W = noise[t + 1]
        given = value[t + 1].spread(W).plus(after.shifted(W), weight**2)
        found[t] = Quadratic(*(DISCOUNT**2 * x for x in given))
        b, H, U = slopes(mu, value, t)
        action = Quadratic(POLICY * H.T @ H, POLICY * H.T @ b, float(POLICY * b @ b + 2 * POLICY**2 * np.trace(U @ U)))
        push, D = B @ mu[t], found[t]
        h = A.T @ (D.H @ push + D.h)
        after = action.plus(Quadratic(A.T @ D.H @ A, h, D.mean(push, POLICY * B @ B.T)))
    return found


def against_scores(future, mu, mean, cov):
    """Return E[future(A s + B a) |score|^2]."""
    middle = future.mean(A @ mean + B @ mu, A @ cov @ A.T)
    return M / POLICY * middle + (M + 2) * np.trace(B.T @ future.H @ B)


def split(mu):
    """Return {name: traces (T - 1,)} of the decomposition, and of what the released code returns in expectation."""
    value, (means, covs) = values(mu), states(mu)
    right = np.broadcast_to(PROCESS * np.eye(4), (T + 1, 4, 4))
    wrong = np.concatenate([covs, covs[-1:]])  # the defect: the noise of a step is the covariance of the state
    future, false = futures(mu, value, right), futures(mu, value, wrong)
    advantages = {x: futures(mu, value, right, x) for x in LAMBDAS}
    names = [*PARTS]
    names += [f"sigma_tau, generalized advantage {x:g}" for x in LAMBDAS]
    names += ["released sigma_a, value baseline", "second moment, released noise", "released sigma_tau"]
    found = {name: [] for name in names}
    excess = np.zeros(T + 1)  # by how much costs to go are larger than they should be, on average
    for t in reversed(range(T)):
        excess[t] = DISCOUNT * (excess[t + 1] + np.trace(value[t + 1].H @ (wrong[t + 1] - right[t + 1])))
    for t in range(T - 1):
        (b, H, U), m, C = slopes(mu, value, t), means[t], covs[t]
        slope, state = b + H @ m, H @ C @ H.T
        square, curve = float(slope @ slope + np.trace(state)), (2 * M + 8) * POLICY * np.trace(U @ U)
        by_value = (M + 1) * square + curve
        level = value[t].mean(m, C)
        levels = level**2 + value[t].variance(m, C)
        missing = H @ m + U @ mu[t]  # what is subtracted of the square of the slope in the released code
        seen = against_scores(false[t], mu[t], m, C) + M / POLICY * excess[t] ** 2
        cross = M / POLICY * level + 2 * np.trace(U)  # E[cost to go |score|^2]
        one = [np.trace(state), by_value + M / POLICY * levels + 4 * np.trace(U) * level, by_value]
        one += [against_scores(x[t], mu[t], m, C) for x in (future, *advantages.values())]
        one += [by_value + square - missing @ missing - np.trace(state), seen, seen + 2 * excess[t] * cross]
        for name, x in zip(names, one, strict=True):
            found[name].append(float(x))
    return {name: np.array(x) for name, x in found.items()}


def simulated(mu, t, count, rng, released):
    """Return the mean and the standard error of the trace of sigma_tau at t over a batch, in plain NumPy.

    Correctly, or as the released code does it: with its noise, and R^2 - Q^2 in place of (R - Q)^2.
    """
    value, (means, covs) = values(mu), states(mu)
    s = means[t] + rng.standard_normal((count, 4)) @ np.linalg.cholesky(covs[t]).T
    total, factor = np.zeros(count), 1.0
    for k in range(t, T):
        e = np.sqrt(POLICY) * rng.standard_normal((count, 2))
        if k == t:
            b, H, U = slopes(mu, value, t)
            score = e / POLICY
            expected = np.einsum("ki,ij,kj->k", s, value[t].H, s) + 2 * s @ value[t].h + value[t].c
            expected += np.einsum("ki,ki->k", b + s @ H.T, e) + np.einsum("ki,ij,kj->k", e, U, e) - POLICY * np.trace(U)
        a = mu[k] + e
        total += factor * (np.einsum("ki,ij,kj->k", s, Q, s) + np.einsum("ki,ij,kj->k", a, R, a))
        factor *= DISCOUNT
        W = covs[min(k + 1, T - 1)] if released else PROCESS * np.eye(4)
        s = s @ A.T + a @ B.T + rng.standard_normal((count, 4)) @ np.linalg.cholesky(W).T
    what = total**2 - expected**2 if released else (total - expected) ** 2
    traces = what * (score**2).sum(axis=1)
    return float(traces.mean()), float(traces.std(ddof=1) / np.sqrt(count))


def settings(quick):
    """Return numbers of updates, and for the first the times at which both programs are simulated."""
    found = [{"updates": u, "t": None} for u in UPDATES[: 1 if quick else None]]
    batches = 1 if quick else 3
    return found + [{"updates": 0, "t": t, "count": batches * BATCH} for t in TIMES[:: 5 if quick else 1]]


def rows(setting, seed, threads):
    """Return the rows of one setting: natural logarithms of traces, as published, and simulated traces."""
    mu = ascended(setting["updates"])
    if setting["t"] is None:
        times = range(0, T - 1, 2)
        return [
            {"updates": setting["updates"], "t": t, "part": name, "exact_log_trace": float(np.log(abs(traces[t])))}
            for name, traces in split(mu).items()
            if setting["updates"] == 0 or name in PARTS
            for t in times
        ]
    found = []
    for k, name in enumerate(("sigma_tau", "released sigma_tau")):
        rng = np.random.default_rng([seed, setting["t"], k])
        mean, error = simulated(mu, setting["t"], setting["count"], rng, bool(k))
        exact = float(split(mu)[name][setting["t"]])
        row = {"updates": 0, "t": setting["t"], "part": name, "exact_log_trace": float(np.log(exact)), "exact": exact}
        found.append(row | {"count": setting["count"], "trace": mean, "trace_stderr": error})
    return found


def report(rows):
    """Return the decomposition at some times, and how exact and simulated traces agree."""
    names = [name for name in dict.fromkeys(r["part"] for r in rows)]
    at = {(r["t"], r["part"]): r["exact_log_trace"] for r in rows if r["updates"] == 0}
    lines = ["  logarithms of traces before any update, t = 0, 10, 50, 90, 98"]
    lines += [f"  {name:<36}{' '.join(f'{at[t, name]:9.4f}' for t in (0, 10, 50, 90, 98))}" for name in names]
    scores = [abs(r["trace"] - r["exact"]) / r["trace_stderr"] for r in rows if r.get("trace")]
    return "\n".join(
        [*lines, f"  {len(scores)} simulated traces, at worst {max(scores):.1f} standard errors from exact"]
    )


STUDY = study.Study(
    name="tucker_2018",
    question="What is the variance of a policy gradient made of, over time (Tucker et al. 2018), and what was published?",
    columns=("updates", "t", "part", "exact_log_trace", "exact", "count", "trace", "trace_stderr"),
    settings=settings,
    rows=rows,
    report=report,
)
