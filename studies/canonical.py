"""One scalar linear-quadratic problem, every rung, exactly: horizon, dimension, kurtosis, and where the usual order breaks.

    s_next = .9 s + .5 a + w, a = -.6 s + .5 e, w ~ N(0, .04), s_0 ~ N(0, 1), reward -(s^2 + .1 a^2), T steps

    horizon      the canonical table, T = 1 .. 20; kurtosis: from how many trajectories a variance is known to one percent
    dimension    n independent copies, ten steps, the gradient in one gain: the score function's variance is quadratic in n,
                 linear with a baseline, and the pathwise one does not know of the others
    exploration  std -> 0 with process noise: the value baseline does not remove std^-2, mirrored action noise does
    marginal     a loop at its margin from s_0 = 0, no noise but the actions': here a score function, with the quadratic
                 baseline of least variance, beats the pathwise gradient, the more the longer

References
----------
Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in reinforcement learning.
JMLR 5, 1471; the rest is exact theory of this library.
"""

import numpy as np

import mcgrad as mg
from mcgrad import baselines as b
from mcgrad import estimators as e
from mcgrad import study
from mcgrad.exact.leaves import read
from mcgrad.exact.linear_quadratic import LinearQuadratic, System
from mcgrad.exact.linear_quadratic.covariances import covariance_between

A, B, Q, R, K, STD, PROCESS_NOISE = 0.9, 0.5, 1.0, 0.1, -0.6, 0.5, 0.04
NAMES = {
    "score function": lambda: e.score_function(),
    "score function, baseline J": lambda: e.score_function(b.mean_return()),
    "score function, optimal constant": lambda: e.score_function(b.optimal_constant()),
    "reward to go": lambda: e.reward_to_go(),
    "reward to go, mean baseline": lambda: e.reward_to_go(b.mean_to_go()),
    "reward to go, value baseline": lambda: e.reward_to_go(b.value()),
    "reparameterization": lambda: e.reparameterization(),
    "value gradient": lambda: e.value_gradient(),
    "all actions": lambda: e.all_actions(),
}
MIRRORED = {
    "score function": NAMES["score function"],
    "reward to go, value baseline": NAMES["reward to go, value baseline"],
    "score function, mirrored actions": lambda: e.antithetic(e.score_function(), "actions"),
    "value baseline, mirrored actions": lambda: e.antithetic(e.reward_to_go(b.value()), "actions"),
    "reparameterization": NAMES["reparameterization"],
}
MARGINAL = {
    "reward to go, value baseline": NAMES["reward to go, value baseline"],
    "reward to go, optimal quadratic": lambda: e.reward_to_go(b.optimal_quadratic()),
    "reparameterization": NAMES["reparameterization"],
}
ALONE = (
    "score function",
    "score function, baseline J",
    "reward to go",
    "reward to go, value baseline",
    "reparameterization",
)
HORIZONS, MEASURED_AT = tuple(range(1, 21)), (1, 2, 5, 10, 20)
DIMENSIONS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20)
STDS = np.round(10.0 ** np.arange(-3.0, 0.51, 0.25), 6).tolist()
LONG = (2, 3, 4, 6, 8, 12, 16, 20, 30, 40, 60, 80, 120, 160)


def problem(horizon, std=STD, drift=A, process_noise=PROCESS_NOISE, initial=1.0):
    """Return (problem, theta)."""
    environment = mg.environments.linear_quadratic(
        [[drift]], [[B]], [[Q]], [[R]], process_noise=[[process_noise]], initial_cov=[[initial]]
    )
    policy = mg.policies.linear_gaussian(1, 1, std=std)
    return mg.Problem(environment, policy, horizon), policy.theta([K])


def copies(n, horizon=10):
    """Return the `System` of n independent copies; the first gain is that of the first."""
    one = np.eye(n)
    mean, cov = np.zeros(n), one
    return System(
        A * one, B * one, K * one, STD * one, Q * one, R * one, 0 * one, PROCESS_NOISE * one, mean, cov, horizon
    )


def settings(quick):
    """Return horizons, dimensions, stds and long horizons; horizons are measured, on the same noise."""
    count = 20_000 if quick else 400_000
    found = [{"part": "horizon", "x": T, "count": count if T in MEASURED_AT else 0} for T in HORIZONS]
    found += [{"part": "dimension", "x": n, "count": 0} for n in DIMENSIONS]
    found += [{"part": "exploration", "x": std, "count": 0} for std in STDS]
    return found + [{"part": "marginal", "x": T, "count": 0} for T in LONG]


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    part, x = setting["part"], setting["x"]
    if part == "dimension":
        found = dimension(x)
    else:
        (p, theta), names = {
            "horizon": lambda: (problem(x), NAMES),
            "exploration": lambda: (problem(10, std=x), MIRRORED),
            "marginal": lambda: (problem(x, drift=1.0 - B * K, process_noise=0.0, initial=0.0), MARGINAL),
        }[part]()
        chosen = {name: make() for name, make in names.items()}
        found = study.measured(p, theta, chosen, count=setting["count"], seed=seed, threads=threads)
    return [{"part": part, "x": x} | {key: row.get(key) for key in KEPT} for row in found]


def dimension(n):
    """Return the variances in the first gain of n copies."""
    theory = LinearQuadratic(copies(n))
    result = []
    for name in ALONE:
        ((_, leaf),) = read(theory, NAMES[name]())
        moved = theory.increments(leaf)
        variance = covariance_between(theory.system, moved, moved, [0], [0])[0]
        result.append({"estimator": name, "exact_variance": float(variance), "count": 0})
    return result


def report(rows):
    """Return the canonical table, the exceptions, and how exact and measured values agree."""
    at = {(r["part"], r["x"], r["estimator"]): r["exact_variance"] for r in rows}
    lines = [f"  {'T':<36}{''.join(f'{T:>12}' for T in MEASURED_AT)}"]
    for name in NAMES:
        cells = "".join(f"{at['horizon', T, name]:12.6g}" for T in MEASURED_AT)
        lines.append(f"  {name:<36}{cells}")
    best, path = "reward to go, optimal quadratic", "reparameterization"
    ratios = ", ".join(f"{at['marginal', T, best] / at['marginal', T, path]:.3f} (T = {T})" for T in (12, 20, 40, 160))
    lines.append(f"  at the margin, optimal quadratic over pathwise: {ratios}")
    deviation, number = study.worst_deviation(rows)
    return "\n".join([*lines, f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"])


KEPT = (
    "estimator",
    "exact_mean",
    "exact_variance",
    "count",
    "mean",
    "stderr",
    "variance",
    "variance_stderr",
    "kurtosis",
)
STUDY = study.Study(
    name="canonical",
    question="What does every rung have on one scalar problem, and where does the usual order break?",
    columns=("part", "x", *KEPT),
    settings=settings,
    rows=rows,
    report=report,
)
