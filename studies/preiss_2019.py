"""The variance of REINFORCE in random linear-quadratic problems, exactly, and as 30 trajectories show it (Preiss et al. 2019).

    s_next = A s + B a + w,  a = K s + e,  cost s^T Q s + a^T R a,  ten steps, n = 5 states, m = 3 actions, s_0 ~ N(0, I/n)
    A, B: entries N(0, 1/n), N(0, 1/m);  Q, R and the covariances of w and e: X^T X, entries of X N(0, 1/k)

nu is the trace of the covariance of one trajectory's gradient, no baseline, no reward to go. The paper bounds it, and shows
it by simulation: over 100 initial states the mean of sample variances of 30 trajectories each, without an error bar. Here nu
is exact, given the initial state and averaged over it, and their protocol is run many times over beside it: its band is what
one run of it may show.

    policy noise    e ~ N(0, x I), K of least cost without end, process noise times .1, 1 and 10 (their Figure 1a)
    actuation       m = n, B = x I, both noises times .1, 1 and 10 (1b)
    radius          poles x (1, .8, .6, -.4, .2) of A + BK by placement, process noise times .1, 1 and 10 (1c)
    random          n and horizon in 3, 10, 30; m = n/2, rounded up; a problem each (Figure 2)

Their bounds are not drawn: the constants are not in the text that is at hand. The protocol is simulated in plain NumPy, not
by the library's kernels, and is thus a witness of the exact values.

References
----------
Preiss, Arnold, Wei and Kloft (2019), Analyzing the variance of policy gradient estimators for the linear-quadratic
regulator. arXiv:1910.01249: Figures 1 and 2.
"""

import numpy as np
from scipy.signal import place_poles

from mcgrad import estimators, study
from mcgrad.exact.leaves import read
from mcgrad.exact.linear_quadratic import LinearQuadratic, System
from mcgrad.exact.linear_quadratic.covariances import covariance_by_step
from mcgrad.exact.linear_quadratic.optimum import infinite_horizon_gain
from mcgrad.exact.linear_quadratic.system import factor

STATES, PER_STATE = 100, 30  # of their protocol
SCALES = (0.1, 1.0, 10.0)
DECADES = np.round(10.0 ** np.arange(-2.0, 2.01, 0.25), 6).tolist()
RADII = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3]
POLES = np.array([1.0, 0.8, 0.6, -0.4, 0.2])
GRIDS = {"policy noise": DECADES, "actuation": DECADES, "radius": RADII}
INSTANCE = 0
SIZES = (3, 10, 30)
NUMBER = {True: 2, False: 30}  # of random problems of each size and horizon; fewer where n is 30
LARGE = {True: 0, False: 1}


def instance(seed, n, m):
    """Return a random problem: A, B, Q, R, the covariance of process noise, that of the policy."""
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(n, n)) / np.sqrt(n), rng.normal(size=(n, m)) / np.sqrt(m)

    def wishart(k):
        X = rng.normal(size=(k, k)) / np.sqrt(k)
        return X.T @ X

    return A, B, wishart(n), wishart(m), wishart(n), wishart(m)


def system(part, x, scale):
    """Return the `System` of a point of Figure 1."""
    A, B, Q, R, process, policy = instance(INSTANCE, 5, 5 if part == "actuation" else 3)
    B = x * np.eye(5) if part == "actuation" else B
    policy = {"policy noise": x * np.eye(3), "actuation": scale * policy, "radius": policy}[part]
    K = -place_poles(A, B, x * POLES).gain_matrix if part == "radius" else None
    return of(A, B, Q, R, scale * process, policy, 10, K)


def of(A, B, Q, R, process, policy, horizon, K=None):
    """Return the `System` of some matrices; the gain is that of least cost without end, if none is given."""
    n, m = B.shape

    def having(K):
        L = np.linalg.cholesky(policy)
        return System(A, B, K, L, Q, R, np.zeros((n, n)), process, np.zeros(n), np.eye(n) / n, horizon)

    return having(infinite_horizon_gain(having(np.zeros((m, n)))) if K is None else K)


def exact(s):
    """Return nu: the trace of the covariance given the initial state, averaged over it."""
    theory = LinearQuadratic(s)
    ((_, leaf),) = read(theory, estimators.score_function())
    moved = theory.increments(leaf)
    _, steps = covariance_by_step(s, moved, moved)
    return float(steps.sum())


def protocol(s, repeats, rng):
    """Return nu as their protocol estimates it, (repeats,): 100 initial states, 30 trajectories each, in plain NumPy."""
    found, process = [], factor(s.W, "W")
    for _ in range(repeats):
        x = np.repeat((s.initial_factor @ rng.standard_normal((s.states, STATES))).T, PER_STATE, axis=0)
        total, score = 0.0, 0.0
        for _ in range(s.horizon):
            e = rng.standard_normal((len(x), s.actions))
            a = x @ s.K.T + e @ s.L.T
            total = total - ((x @ s.Q) * x).sum(axis=1) - ((a @ s.R) * a).sum(axis=1)
            score = score + (e @ s.inverse_factor)[:, :, None] * x[:, None, :]
            x = x @ s.A.T + a @ s.B.T + rng.standard_normal((len(x), process.shape[1])) @ process.T
        g = (total[:, None, None] * score).reshape(STATES, PER_STATE, -1)
        found.append(g.var(axis=1, ddof=1).sum(axis=1).mean())
    return np.array(found)


def settings(quick):
    """Return the curves of Figure 1, one for each scale of noise, and the random problems of Figure 2."""
    repeats = 4 if quick else 50
    found = [{"part": part, "scale": scale, "repeats": repeats} for part in GRIDS for scale in SCALES]
    for n in SIZES:
        for horizon in SIZES:
            number = (LARGE if n == 30 else NUMBER)[quick]
            found += [{"part": "random", "n": n, "horizon": horizon, "number": k, "repeats": 1} for k in range(number)]
    return found


def full():
    """Return the same with a thousand random problems, as published; an hour."""
    found = [x for x in settings(False) if x["part"] != "random"]
    for k in range(1000):
        n, horizon = SIZES[k % 3], SIZES[k // 3 % 3]
        found.append({"part": "random", "n": n, "horizon": horizon, "number": k // 9, "repeats": 1})
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    part, repeats = setting["part"], setting["repeats"]
    if part == "random":
        n, horizon, number = setting["n"], setting["horizon"], setting["number"]
        m = -(-n // 2)
        s = of(*instance([number, n, horizon], n, m), horizon)
        (seen,) = protocol(s, 1, np.random.default_rng([seed, number, n, horizon]))
        return [
            {"part": part, "states": n, "horizon": horizon, "exact": exact(s), "protocol": float(seen), "repeats": 1}
        ]
    found, scale = [], setting["scale"]
    for k, x in enumerate(GRIDS[part]):
        s = system(part, x, scale)
        row = {"part": part, "x": x, "scale": scale, "states": 5, "horizon": 10, "exact": exact(s)}
        if k % 2 == 0:
            rng = np.random.default_rng([seed, list(GRIDS).index(part), SCALES.index(scale), k])
            seen = protocol(s, repeats, rng)
            row |= {"protocol": float(seen.mean()), "repeats": repeats, "spread": float(seen.std(ddof=1))}
            row |= {"low": float(np.quantile(seen, 0.05)), "high": float(np.quantile(seen, 0.95))}
        found.append(row)
    return found


def report(rows):
    """Return where variances are least, slopes, and what one run of the protocol is worth."""
    lines = []
    for part in ("policy noise", "actuation"):
        best = []
        for scale in SCALES:
            here = [r for r in rows if r["part"] == part and r["scale"] == scale]
            best.append(min(here, key=lambda r: r["exact"])["x"])
        lines.append(f"  {part}: least variance at {', '.join(f'{x:.3g}' for x in best)} for noise x .1, 1, 10")
    first = [r["exact"] for r in rows if r["part"] == "policy noise" and r["scale"] == 1.0]
    slopes = [np.log(b / a) / np.log(10.0**0.25) for a, b in (first[:2], first[-2:])]
    lines.append(f"  slopes in the policy's variance: {slopes[0]:.2f} and {slopes[1]:.2f}")
    spread = [r["spread"] / r["exact"] for r in rows if r.get("spread") and r["part"] == "policy noise"]
    lines.append(f"  one run of the protocol has a standard error of {100 * np.median(spread):.0f} % (median)")
    ratios = [r["protocol"] / r["exact"] for r in rows if r["part"] == "random"]
    quantiles = ", ".join(f"{x:.2f}" for x in np.quantile(ratios, [0.05, 0.5, 0.95]))
    return "\n".join([*lines, f"  random problems, protocol / exact: 5, 50, 95 % at {quantiles}"])


STUDY = study.Study(
    name="preiss_2019",
    question="How does the variance of REINFORCE depend on noise, actuation and stability (Preiss et al. 2019)?",
    columns=("part", "x", "scale", "states", "horizon", "exact", "protocol", "repeats", "spread", "low", "high"),
    settings=settings,
    rows=rows,
    report=report,
    full=full,
)
