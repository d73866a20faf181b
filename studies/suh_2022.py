"""Steps, ramps and walls: where a pathwise gradient is precise and wrong, or right and noisy (Suh et al. 2022).

One action, a = theta + std e; E f(a) is smooth even where f jumps, and its gradient is not what derivatives of f show:

    step     f = [a > 0], std .2: the pathwise gradient is 0 on every sample, the gradient is a normal density (their Figure 2)
    ramp     f rises from 0 to 1 over a width nu: unbiased, with a variance that grows as 1/nu
    wall     a ball thrown at an angle over a wall, f = -x^2, std .05: f jumps at two angles, and the pathwise gradient lacks
             exactly -sum_j jump_j phi((angle_j - theta)/std)/std (their Figure 7)

Zeroth order is the score function less f(theta), the return of the noiseless rollout, as in the paper; where f(theta) says
nothing of E f it is no help. The mean squared error over N samples, bias^2 + variance/N, says from which N on noise beats bias.

References
----------
Suh, Simchowitz, Zhang and Tedrake (2022), Do differentiable simulators give better policy gradients? ICML;
arXiv:2202.00817: Figures 2 and 7, and the code released with it (its confidence interval takes log((d + 1)/delta) with
delta = .95 for log((d + 1)/(1 - delta)): a bound that should hold with 95 % is that of 5 %).
"""

import math
import warnings

import numpy as np

import mcgrad as mg
from mcgrad import estimators as e
from mcgrad import study

STEP_STD, WALL_STD, EDGE = 0.2, 0.05, 0.6932  # the last: an angle at the wall's edge
STEPS = np.round(np.linspace(-0.6, 0.6, 25), 6).tolist()
WIDTHS = np.round(10.0 ** np.arange(-3.0, 0.01, 0.25), 6).tolist()
ANGLES = np.round(np.linspace(0.0, math.pi / 2, 61), 6).tolist()
SAMPLES = [10**k for k in range(6)]
SCORE, ZEROTH, PATH = "score function", "score function, noiseless baseline", "reparameterization"


def problem(part, x):
    """Return (problem, theta, f(theta)): x is a theta, or of a ramp its width, at theta = 0."""
    if part == "wall":
        environment, theta, std = mg.environments.ball_with_wall(), x, WALL_STD
    elif part == "ramp":
        environment, theta, std = mg.environments.linear_ramp(x), 0.0, STEP_STD
    else:
        environment, theta, std = mg.environments.step_reward(), x, STEP_STD
    still = mg.Problem(environment, mg.policies.gaussian(1, std=1e-12), 1)
    value = float(mg.rollout(still, [theta], 1, machine="numpy").rewards[0, 0])
    return mg.Problem(environment, mg.policies.gaussian(1, std=std), 1), [theta], value


def settings(quick):
    """Return thetas and widths; some are measured, on the same noise, as they are not compared."""
    count = 10_000 if quick else 200_000
    found = []
    for part, grid, stride in (("step", STEPS, 3), ("ramp", WIDTHS, 2), ("wall", ANGLES, 4)):
        found += [{"part": part, "x": x, "count": count if i % stride == 0 else 0} for i, x in enumerate(grid)]
    return [*found, {"part": "error", "x": EDGE, "count": 0}]


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    part, x, count = setting["part"], setting["x"], setting["count"]
    p, theta, value = problem("wall" if part == "error" else part, x)
    names = {SCORE: e.score_function(0.0), ZEROTH: e.score_function(value), PATH: e.reparameterization()}
    gradient = float(mg.exact.gradient(p, theta)[0])
    found = {}
    if count:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mg.DiscontinuityWarning)  # that is what the study is about
            found = mg.measure(p, theta, names, count, seed, threads=threads, progress=False)
    result = []
    for name, estimator in names.items():
        mean, variance = (float(f(p, theta, estimator)[0]) for f in (mg.exact.mean, mg.exact.variance))
        row = {"part": part, "x": x, "estimator": name, "gradient": gradient, "value": value}
        if part == "error":
            for n in SAMPLES:
                squared = (mean - gradient) ** 2 + variance / n
                result.append(row | {"samples": n, "exact_error": math.sqrt(squared)})
            continue
        row |= {"exact_mean": mean, "exact_variance": variance, "count": count}
        if found:
            m = found[name]
            row |= {key: float(getattr(m, key)[0]) for key in ("mean", "stderr", "variance", "variance_stderr")}
        result.append(row)
    return result


def report(rows):
    """Return the numbers that were published or follow in closed form, and how exact and measured values agree."""
    at = {(r["part"], r["x"], r["estimator"]): r for r in rows if r["part"] != "error"}
    still, aside = at["step", 0.0, SCORE], at["step", 0.3, SCORE]
    edge = [r["exact_error"] for r in rows if r["part"] == "error" and r["samples"] == 10**5]
    deviation, number = study.worst_deviation([r for r in rows if r.get("count")])
    less = at["step", 0.3, ZEROTH]["exact_variance"]
    lines = [
        f"  step at 0: gradient {still['gradient']:.6f}, variance of the score function {still['exact_variance']:.6f}",
        f"  step at .3: {aside['gradient']:.6f}, {aside['exact_variance']:.5f}, less f(theta) {less:.5f}",
        f"  wall at its edge, 100 000 samples: error {edge[1]:.2g} of the score function less f(theta), {edge[2]:.2g} pathwise",
        f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact",
    ]
    return "\n".join(lines)


STUDY = study.Study(
    name="suh_2022",
    question="Where is a pathwise gradient precise and wrong, and where right and noisy (Suh et al. 2022)?",
    columns=(
        *("part", "x", "estimator", "gradient", "value", "exact_mean", "exact_variance", "count"),
        *("mean", "stderr", "variance", "variance_stderr", "samples", "exact_error"),
    ),
    settings=settings,
    rows=rows,
    report=report,
)
