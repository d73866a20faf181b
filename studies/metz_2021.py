"""Chaos: pathwise variances that grow without bound where others stay (Metz et al. 2021, Parmas et al. 2018).

    ripples    l(x) = .1 sin(x w / pi) + (x / 10)^2 + .1, smoothed by x + .3 e: the largest variance over x in [-10, 10], as a
               function of w (Metz et al., Figure 1); ES is the score function, of one sample or of mirrored pairs
    chaos      x' = sin(pi x + theta + .3 e), reward of the last states: the variance over the number of steps, after the curse
               of chaos in Parmas et al., who find pathwise gradients useless and reparameterization mixed with scores not
    slice      the same after eight steps, over theta: objective, gradient, and what one sample of each says

Where the derivative of a path grows on average, the square of it grows faster: the pathwise variance is exponential in the
horizon, although its mean is not. That of a score function is not concerned, and a mixture by variance takes the better one.

References
----------
Metz, Freeman, Schoenholz and Kachman (2021), Gradients are not all you need. arXiv:2111.05803; Parmas, Rasmussen, Peters and
Doya (2018), PIPPS: flexible model-based policy search robust to the curse of chaos. ICML.
"""

import math

import numpy as np

import mcgrad as mg
from mcgrad import baselines as b
from mcgrad import estimators as e
from mcgrad import study

STD = 0.3
FREQUENCIES = np.round(10.0 ** np.arange(-2.0, 2.51, 0.25), 6).tolist()
HORIZONS, LONG, THETA = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16), 8, 0.1
THETAS = np.round(np.linspace(-1.0, 1.0, 41), 6).tolist()
PATH, SCORE, MIRRORED = "reparameterization", "score function", "score function, mirrored"
TO_GO = "reward to go, mean baseline"


def ripples(w):
    """Return the problem of Metz et al."""
    return mg.Problem(mg.environments.sinusoid_on_parabola(w), mg.policies.gaussian(1, std=STD), 1)


def chaos(horizon):
    """Return the chaotic map with one unknown push."""
    return mg.Problem(mg.environments.chaotic_map(), mg.policies.gaussian(1, std=STD), horizon)


def worst(w):
    """Return {estimator: the x at which its variance is largest}, sought by quadrature on a grid, in plain NumPy."""
    x, z = np.linspace(-10.0, 10.0, 201)[:, None], np.linspace(-6.0, 6.0, 1201)
    weight = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()

    def loss(x):
        return 0.1 * np.sin(x * w / math.pi) + x**2 / 100 + 0.1

    def variance(g):
        return (g**2) @ weight - (g @ weight) ** 2

    up = loss(x + STD * z)
    slope = 0.1 * w / math.pi * np.cos((x + STD * z) * w / math.pi) + (x + STD * z) / 50
    found = {PATH: slope, SCORE: up * z / STD, MIRRORED: (up - up[:, ::-1]) * z / (2 * STD)}
    return {name: float(x[np.argmax(variance(g)), 0]) for name, g in found.items()}


def estimators(part):
    """Return the estimators of a part, by name."""
    if part == "ripples":
        plain = e.score_function()
        return {PATH: e.reparameterization(), SCORE: plain, MIRRORED: e.antithetic(plain, "actions")}
    return {PATH: e.reparameterization(), SCORE: e.score_function(), TO_GO: e.reward_to_go(b.mean_to_go())}


def settings(quick):
    """Return frequencies, horizons and pushes, some of them measured."""
    count = 10_000 if quick else 200_000
    found = [{"part": "ripples", "x": w, "count": 0 if i % 3 else count} for i, w in enumerate(FREQUENCIES)]
    found += [{"part": "chaos", "x": T, "count": count} for T in HORIZONS if T <= 8 or not quick]
    return found + [{"part": "slice", "x": x, "count": 0} for x in THETAS]


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    part, x, count = setting["part"], setting["x"], setting["count"]
    chosen = estimators(part)
    found = []
    if part == "ripples":
        p = ripples(x)
        for name, mean in worst(x).items():
            options = {"count": count, "seed": seed, "threads": threads}
            (row,) = study.measured(p, [mean], {name: chosen[name]}, **options)
            found.append({"theta": mean} | row)
    else:
        p, theta = (chaos(x), THETA) if part == "chaos" else (chaos(LONG), x)
        found = study.measured(p, [theta], chosen, count=count, seed=seed, threads=threads)
        about = {"theta": theta, "objective": float(mg.exact.objective(p, [theta]))}
        found = [about | row for row in found]
    return [{"part": part, "x": x} | {key: row.get(key) for key in KEPT} for row in found]


def report(rows):
    """Return the published numbers, and how exact and measured values agree."""
    at = {(r["part"], r["x"], r["estimator"]): r["exact_variance"] for r in rows}
    high = max(FREQUENCIES)
    ranges = []
    for name in (SCORE, MIRRORED):
        values = [at["ripples", w, name] for w in FREQUENCIES]
        ranges.append(f"{name} {min(values):.3g} to {max(values):.3g}")
    lines = [
        f"  ripples: pathwise {at['ripples', 1.0, PATH]:.4g} at w = 1, "
        f"{at['ripples', high, PATH] / high**2:.4g} w^2 at {high:g}, expected .005/pi^2 = {0.005 / math.pi**2:.4g}; "
        + ", ".join(ranges)
    ]
    horizons = sorted({r["x"] for r in rows if r["part"] == "chaos"})
    for name in (PATH, TO_GO):
        growth = (at["chaos", horizons[-1], name] / at["chaos", horizons[-2], name]) ** (
            1 / (horizons[-1] - horizons[-2])
        )
        lines.append(f"  chaos: the variance of {name} grows by {growth:.3f} per step")
    deviation, number = study.worst_deviation(rows)
    return "\n".join([*lines, f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"])


KEPT = (
    *("theta", "objective", "estimator", "exact_mean", "exact_variance", "count"),
    *("mean", "stderr", "variance", "variance_stderr"),
)
STUDY = study.Study(
    name="metz_2021",
    question="How do ripples and chaos make pathwise gradients useless (Metz et al. 2021, Parmas et al. 2018)?",
    columns=("part", "x", *KEPT),
    settings=settings,
    rows=rows,
    report=report,
)
