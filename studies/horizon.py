"""How the variance of each estimator grows with the horizon, in stable and in unstable closed loops.

A scalar linear-quadratic problem, s_next = A s + .5 a + w, a = -.6 s + .5 e, w ~ N(0, .04), s_0 ~ N(0, 1), reward
-(s^2 + .1 a^2), with A such that the closed loop s_next = rho s + ... has spectral radius rho = .5, .9, 1 or 1.1.

    rho < 1:  score function, reward to go ~ T^3;  with a baseline over time or of value ~ T^2;  reparameterization ~ T
    rho = 1:  all ~ T^6
    rho > 1:  score function and reward to go, with or without a baseline over time, ~ rho^(6T);
              with the value baseline and reparameterization ~ T^2 rho^(4T)

An exact value baseline buys nothing over the mean return to go in a long stable problem, and an exponential factor in
an unstable one; reparameterization explodes there, too: the blame is the dynamics'.

References
----------
Preiss, Arnold, Wei and Kloft (2019), Analyzing the variance of policy gradient estimators for the linear-quadratic
regulator. arXiv:1910.01249 (score function, bounds and simulation; here all estimators, exactly).
"""

import mcgrad as mg
from mcgrad import study

B, Q, R, K, STD, PROCESS_NOISE = 0.5, 1.0, 0.1, -0.6, 0.5, 0.04
RADII = (0.5, 0.9, 1.0, 1.1)
MEASURED_AT = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000)
EXACT_AT = (4, 7, 14, 25, 40, 60, 80, 140, 250, 400, 700)
LONGEST = {0.5: 1000, 0.9: 1000, 1.0: 1000, 1.1: 100}


def problem(radius, horizon):
    """Return (problem, theta) for a closed loop s_next = radius s + ... over a horizon."""
    environment = mg.environments.linear_quadratic(
        [[radius - B * K]], [[B]], [[Q]], [[R]], process_noise=[[PROCESS_NOISE]], initial_cov=[[1.0]]
    )
    policy = mg.policies.linear_gaussian(1, 1, std=STD)
    return mg.Problem(environment, policy, horizon), policy.theta([K])


def estimators(p, theta):
    """Return the estimators, by name."""
    return {
        "score function": mg.estimators.score_function(),
        "reward to go": mg.estimators.reward_to_go(),
        "reward to go, mean baseline": mg.estimators.reward_to_go(mg.exact.mean_return_to_go(p, theta)),
        "reward to go, value baseline": mg.estimators.reward_to_go(mg.baselines.value()),
        "reparameterization": mg.estimators.reparameterization(),
    }


def settings(quick):
    """Return spectral radii and horizons; some for exact values only, others measured on trajectories of their own."""
    count, longest = (50_000, 100) if quick else (1_000_000, 1000)
    found, start = [], 0
    for radius in RADII:
        for horizon in sorted({*MEASURED_AT, *EXACT_AT}):
            if horizon <= min(longest, LONGEST[radius]):
                number = count if horizon in MEASURED_AT else 0
                found.append({"spectral_radius": radius, "horizon": horizon, "count": number, "start": start})
                start += number
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    radius, horizon = setting["spectral_radius"], setting["horizon"]
    p, theta = problem(radius, horizon)
    options = {"count": setting["count"], "start": setting["start"], "seed": seed, "threads": threads}
    found = study.measured(p, theta, estimators(p, theta), **options)
    return [{"spectral_radius": radius, "horizon": horizon} | row for row in found]


def report(rows):
    """Return the variances at the longest horizon against reparameterization's, and how measured and exact agree."""
    last = {(r["spectral_radius"], r["estimator"]): r["exact_variance"] for r in rows if r["horizon"] == 100}
    lines = ["  exact variance at T = 100, in units of that of reparameterization:"]
    for radius in dict.fromkeys(radius for radius, _ in last):
        unit = last[radius, "reparameterization"]
        figures = ", ".join(f"{name} {x / unit:.3g}" for (r, name), x in last.items() if r == radius and x != unit)
        lines.append(f"  rho = {radius}: {figures}")
    deviation, number = study.worst_deviation(rows)
    return "\n".join([*lines, f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"])


STUDY = study.Study(
    name="horizon",
    question="How does the variance of each estimator grow with the horizon, in stable and unstable closed loops?",
    columns=("spectral_radius", "horizon", *study.MEASURED),
    settings=settings,
    rows=rows,
    report=report,
)
