"""What no estimator made of trajectories can go below, and what a differentiable simulator is worth.

On the scalar problem of `ladder` (s_next = .9 s + .5 a + w, a = -.6 s + std e, reward -(s^2 + .1 a^2), s_0 ~ N(0, 1)):

    ladder      the exact variance of each estimator, with what it must know, and the efficiency bounds of the gradient
    phase       pathwise variance over Markov bound, for std of the policy and process noise W, and where it is 1
    N, levels   N times the mean squared error of estimators that know nothing but N trajectories, on a small table; and
                the variance of one trajectory where an exact critic was given
    behaviour   the variance of an importance-weighted score function by the std of the behaviour that acts

The contour of `phase` has two laws. Where the noise of a few steps outgrows the spread of the start, all noise scales together,
and W* is proportional to (b std)^2. Where noise is small both sides tend to Var dV_0(s_0); pathwise exceeds it by
c std^2, the bound by c^T W / std^2, and W* is proportional to std^4.

What this does not say
----------------------
A floor is per trajectory, not per second: a sample below the floor may take longer than the many above it, and one above may
be had for nothing in data that is there already.

It is for N large enough to fit what has to be known, the value function and its derivative. The bounds of fixed critics
are exact at every N; those of fitted critics are limits, and panel c shows how large N is on one small table. With
function approximation that is wrong the limit is another one.

It is a floor of estimators that know nothing of the dynamics. That they are linear is worth more than a simulator here: the
parametric bound, which system identification reaches, is 6.57 (a, b and W constant in time) against 8.64 for the pathwise
gradient. So "no model-free estimator does better", never "no estimator does without a simulator".

The pathwise gradient that it is compared with is the plain one. With control variates it varies less, and so the contour is
where the plain one stops paying.

Without process noise the model is degenerate: deterministic dynamics can be learned faster than at the root of N, and the
bound, the variance that the start alone makes, is reached by an estimator that has seen every transition. The bound of
one law of trajectories is none for another: an experiment that is allowed to choose its actions, its starts or its random
numbers (other behaviours, branches, mirrored noise) has a floor of its own, lower or higher.

An exact critic is an oracle. That a row with one is below the floor says that the answer was handed over, not that it can be
estimated; and oracles need not be low: on random systems all actions has up to eight times the Markov bound.

And it is one system. The constants are this one's: only the two laws and the order of the bounds follow from theory.

References
----------
Kallus and Uehara (2020), Statistically efficient off-policy policy gradients; Huang and Jiang (2020), From importance sampling
to doubly robust policy gradient; Jie and Abbeel (2010), On a connection between importance sampling and the likelihood ratio
policy gradient.
"""

import math

import numpy as np

import mcgrad as mg
from mcgrad import baselines as b
from mcgrad import estimators as e
from mcgrad import study
from mcgrad.estimators.estimator import rollouts
from studies import ladder, learned_tables

BOUNDS = ("tree", "markov", "stationary")
PATH = "reparameterization"
LADDER = {name: ladder.RUNGS[name].make for name in ladder.RUNGS if name != "evolution strategies"}
LADDER |= {"trajectory control variate": e.trajectory_control_variate, "doubly robust": e.doubly_robust}
FITTED = {"doubly robust, fitted critic": lambda: e.doubly_robust(mg.critics.fitted_model())}
STD, NOISE = (0.05, 4.0), (0.001, 4.0)  # of the phase diagram
HORIZONS = (3, 10, 30)
DECAY, SLOPE, GAIN = 0.9, 0.5, -0.6  # a, b and K of the scalar problem
COLUMNS = ("part", "horizon", "estimator", "knows", "std", "noise", "count", "value", "stderr", "limit")


def settings(quick):
    """Return the parts; a quick run has coarse grids, few replications and nothing compiled."""
    horizons, grid = (HORIZONS[:1], 4) if quick else (HORIZONS, 20)
    found = [{"part": "ladder", "count": 0 if quick else 1_000_000}]
    found += [{"part": part, "horizon": T, "grid": grid} for T in horizons for part in ("phase", "contour")]
    sizes = [2**k for k in ((5, 8, 11) if quick else range(4, 16))]
    found += [{"part": "N", "size": N, "replications": 400 if quick else 8000} for N in sizes]
    found += [{"part": "levels"}]
    found += [{"part": "behaviour", "horizon": T, "grid": 6 if quick else 40} for T in ((3,) if quick else (3, 10, 20))]
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    part = setting["part"]
    if part == "ladder":
        found = rungs(setting["count"], seed, threads)
    elif part == "phase":
        found = phase(setting["horizon"], setting["grid"])
    elif part == "contour":
        found = contour(setting["horizon"], setting["grid"])
    elif part == "N":
        found = learned_tables.errors(setting["size"], setting["replications"], seed)
    elif part == "levels":
        found = learned_tables.levels()
    else:
        found = behaviours(setting["horizon"], setting["grid"])
    return [{"part": part} | row for row in found]


def scalar(T=10, std=0.5, W=0.04, cov=1.0, a=DECAY, b=SLOPE):
    """Return the scalar problem, and its theta."""
    environment = mg.environments.linear_quadratic(
        [[a]], [[b]], [[1.0]], [[0.1]], process_noise=[[W]], initial_cov=[[cov]]
    )
    policy = mg.policies.linear_gaussian(1, 1, std=std)
    return mg.Problem(environment, policy, T), policy.theta([GAIN])


# ---- the ladder --------------------------------------------------------------------------------------------------


def rungs(count, seed, threads):
    """Return the exact variances of one rollout, the bounds, and measured variances of what has a fitted critic."""
    p, theta = scalar()
    bounds = {model: float(mg.exact.efficiency_bound(p, theta, model)[0]) for model in BOUNDS}
    found = [{"estimator": f"{model} bound", "knows": "bound", "value": value} for model, value in bounds.items()]
    exact = {}
    for name, make in LADDER.items():
        estimator = make()
        exact[name] = float(mg.exact.variance(p, theta, estimator)[0]) * rollouts(estimator, p)
        found.append({"estimator": name, "knows": e.knows(estimator).kind, "value": exact[name]})
    # With critics fitted to the same trajectories N Var tends to the Markov bound and what the action decides of the gradient.
    fitted = bounds["markov"] + exact["trajectory control variate"] - bounds["tree"]
    found.append({"estimator": "all actions, fitted critic", "knows": "fitted critic", "value": fitted})
    found.append({"estimator": "system identification", "knows": "the form of the dynamics", "value": identified()})
    if count:
        for name, make in FITTED.items():
            x = mg.measure(p, theta, {name: make()}, count, seed, threads=threads, progress=False)[name]
            measured = {"count": x.count, "value": float(x.variance[0]), "stderr": float(x.variance_stderr[0])}
            found.append({"estimator": name, "knows": e.knows(make()).kind} | measured)
    return [{"horizon": p.horizon, "std": 0.5, "noise": 0.04} | row for row in found]


def identified(T=10, std=0.5, W=0.04):
    """Return the Cramer-Rao bound of those who know that the dynamics are linear and Gaussian: system identification.

    a, b and W are unknown and the same at all times, the start is whatever it is. With x = (s, a),

        Var dV_0(s_0) + (dg/da, dg/db) (sum_t E x x^T / W)^-1 (dg/da, dg/db)^T + (dg/dW)^2 2 W^2 / T,     g = dJ/dK.
    """
    known = {"a": DECAY, "b": SLOPE, "W": W}

    def gradient(name, x):
        return float(mg.exact.gradient(*scalar(T, std, **known | {name: x}))[0])

    slopes = []
    for name, x in known.items():  # central differences of fourth order
        h = 1e-3 * x
        near, far = (gradient(name, x + k * h) - gradient(name, x - k * h) for k in (1, 2))
        slopes.append((8 * near - far) / (12 * h))
    square, information = 1.0, np.zeros((2, 2))
    for _ in range(T):
        information += np.array([[square, GAIN * square], [GAIN * square, GAIN**2 * square + std**2]]) / W
        square = (DECAY + SLOPE * GAIN) ** 2 * square + SLOPE**2 * std**2 + W
    of_start = float(mg.exact.efficiency_bound(*scalar(T, std, 0.0))[0])  # nothing else is random, and dV knows no W
    of_both = float(slopes[:2] @ np.linalg.solve(information, slopes[:2]))
    return of_start + of_both + slopes[2] ** 2 * 2 * W**2 / T


# ---- the phase diagram -------------------------------------------------------------------------------------------


def ratio(T, std, W, cov=1.0):
    """Return the variance of the pathwise gradient over the Markov bound."""
    p, theta = scalar(T, std, W, cov)
    return float(mg.exact.variance(p, theta, e.reparameterization())[0] / mg.exact.efficiency_bound(p, theta)[0])


def phase(T, grid):
    """Return the ratio on a logarithmic grid, to nine digits."""
    found = []
    for std in np.geomspace(*STD, grid):
        for W in np.geomspace(*NOISE, grid):
            row = {"std": std, "noise": W, "value": ratio(T, std, W)}
            found.append({"horizon": T} | {key: float(f"{x:.9g}") for key, x in row.items()})
    return found


def contour(T, grid):
    """Return the process noise W* at which the ratio is 1 for each std, and its two laws."""
    found = [
        {"horizon": T, "estimator": "contour", "std": float(std), "value": crossing(T, std)}
        for std in np.geomspace(STD[0] / 2, STD[1] * 1.5, grid)
    ]
    laws = {"large noise": crossing(T, 1.0, cov=0.0) / SLOPE**2, "small noise": crossing(T, 0.003) / 0.003**4}
    return found + [{"horizon": T, "estimator": name, "value": value} for name, value in laws.items()]


def crossing(T, std, cov=1.0):
    """Return W* with ratio(T, std, W*) = 1; the ratio falls with W."""
    from scipy.optimize import brentq

    guess = math.log(0.6 * (SLOPE * std) ** 2)
    low, high = guess - 2.0, guess + 2.0
    while ratio(T, std, math.exp(low), cov) < 1.0:
        low -= 2.0
    while ratio(T, std, math.exp(high), cov) > 1.0:
        high += 2.0
    return math.exp(brentq(lambda x: math.log(ratio(T, std, math.exp(x), cov)), low, high, xtol=1e-10))


# ---- exploring more than acting ----------------------------------------------------------------------------------


def behaviours(T, grid):
    """Return variances by the std of the behaviour in units of the policy's, the best one among them."""
    p, theta = scalar(T)
    template = e.importance_weighted(theta, "per decision", b.value())
    best = mg.best_behaviour(p, theta, template)
    found = []
    for scale in sorted({*np.geomspace(0.71, 2.0, grid).tolist(), 1.0, float(best.scale[0])}):
        behaviour = [*theta, math.log(0.5 * scale)]
        estimator = e.importance_weighted(behaviour, "per decision", b.value(), behaviour=best.policy)
        name = "best" if scale == best.scale[0] else "behaviour"
        value = float(mg.exact.variance(p, theta, estimator)[0])
        found.append({"horizon": T, "estimator": name, "std": scale, "value": value, "limit": best.region[0]})
    return found


# ---- the answer --------------------------------------------------------------------------------------------------


def report(rows):
    """Return what is below the floor, the laws of the contour, and how far from the bounds the feasible estimators are."""
    of = {part: [r for r in rows if r["part"] == part] for part in ("ladder", "phase", "contour", "N", "behaviour")}
    values = {r["estimator"]: r["value"] for r in of["ladder"]}
    lines = ["  " + ", ".join(f"{model} bound {values[f'{model} bound']:.6g}" for model in BOUNDS)]
    for r in sorted(of["ladder"], key=lambda r: r["value"]):
        if r["value"] < values["tree bound"] * (1 - 1e-9) and r["knows"] != "bound":
            lines.append(f"  below the tree bound: {r['estimator']} {r['value']:.6g} ({r['knows']})")
    for T in dict.fromkeys(r["horizon"] for r in of["contour"]):
        large, small = (
            next(r["value"] for r in of["contour"] if (r["horizon"], r["estimator"]) == (T, name))
            for name in ("large noise", "small noise")
        )
        share = np.mean([r["value"] < 1 for r in of["phase"] if r["horizon"] == T])
        lines.append(
            f"  T = {T}: pathwise is below the Markov bound for W > {large:.4g} (b std)^2 in large noise, {small:.4g} std^4 in "
            f"small; on {share:.0%} of the grid"
        )
    largest = max(r["count"] for r in of["N"])
    for r in of["N"]:
        if r["count"] == largest:
            lines.append(
                f"  {r['estimator']}: N MSE = {r['value']:.4g} +- {r['stderr']:.2g} at N = {largest}, limit {r['limit']:.4g}"
            )
    for r in of["behaviour"]:
        if r["estimator"] == "best":
            lines.append(
                f"  T = {r['horizon']}: a behaviour of {r['std']:.4g} times the std has variance {r['value']:.5g}"
            )
    return "\n".join(lines)


STUDY = study.Study(
    name="floor",
    question="What can no estimator made of trajectories go below, and what is a differentiable simulator worth?",
    columns=COLUMNS,
    settings=settings,
    rows=rows,
    report=report,
)
