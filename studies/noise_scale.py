"""Why there is no reward gradient in the policy gradient, and how to use it if the environment is differentiable.

A scalar linear-quadratic problem, s_next = .9 s + .5 a (+ w), a = -.6 s + std e, reward -(s^2 + .1 a^2), ten steps from
s = 1. The return of a given trajectory does not depend on the parameter: the parameter moves the probability of
trajectories. Written as a function of the noise instead, the trajectory depends on the parameter, and so does the return.
Hence two ways for the reward to reach the parameter, by correlation with the noise (score function) or by its derivative
(reparameterization), with the same mean. As std shrinks, that mean becomes the gradient that back-propagation through the
deterministic model gives, and the variances part:

    std -> 0:   Var PW ~ std^2,   Var SF ~ R^2 sum_t s_t^2 / std^2,   with an exact value baseline O(1)

The baseline saves the score function only in a deterministic world: with process noise w ~ N(0, .04) it diverges, too.

References
----------
https://ai.stackexchange.com/questions/27864, What happens with policy gradient methods if rewards are differentiable?
Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning. JMLR 21, 132.
"""

import mcgrad as mg
from mcgrad import study

A, B, Q, R, K = 0.9, 0.5, 1.0, 0.1, -0.6
HORIZON = 10
PROCESS_NOISE = (0.0, 0.04)  # variances
DECADES = (-3, 0.5)  # of std


def problem(std, process_noise):
    """Return (problem, theta) for a standard deviation of the policy and a variance of the process noise."""
    environment = mg.environments.linear_quadratic(
        [[A]], [[B]], [[Q]], [[R]], process_noise=[[process_noise]], initial_mean=[1.0], initial_cov=[[0.0]]
    )
    policy = mg.policies.linear_gaussian(1, 1, std=std)
    return mg.Problem(environment, policy, HORIZON), policy.theta([K])


def estimators(std):
    """Return the estimators that exist for a std: with 0, there is no score function."""
    pathwise = {"reparameterization": mg.estimators.reparameterization()}
    if std == 0:
        return pathwise
    return {
        "score function": mg.estimators.score_function(),
        "reward to go": mg.estimators.reward_to_go(),
        "reward to go, value baseline": mg.estimators.reward_to_go(mg.baselines.value()),
    } | pathwise


def settings(quick):
    """Return a grid of std for exact values; every third or so is measured, too, on trajectories of its own."""
    count, per_decade, stride = (100_000, 6, 3) if quick else (1_000_000, 18, 3)
    low, high = DECADES
    grid = [low + k / per_decade for k in range(int((high - low) * per_decade) + 1)]
    found, start = [], 0
    for noise in PROCESS_NOISE:
        for k, exponent in enumerate([None, *grid]):
            number = count if exponent is None or (k - 1) % stride == 0 else 0
            std = 0.0 if exponent is None else 10.0**exponent
            found.append({"process_noise": noise, "std": std, "count": number, "start": start})
            start += number
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    noise, std = setting["process_noise"], setting["std"]
    p, theta = problem(std, noise)
    options = {"count": setting["count"], "start": setting["start"], "seed": seed, "threads": threads}
    found = study.measured(p, theta, estimators(std), **options)
    return [{"process_noise": noise, "horizon": HORIZON, "std": std} | row for row in found]


def report(rows):
    """Return the limits for small std, and how well measured and exact variances agree."""
    still = [r for r in rows if r["process_noise"] == 0.0]
    deterministic = next(r["mean"] for r in still if r["std"] == 0.0)
    std = min(r["std"] for r in still if r["std"] > 0)
    at = {r["estimator"]: r for r in still if r["std"] == std}
    variance = {name: r["exact_variance"] for name, r in at.items()}
    deviation, number = study.worst_deviation([r for r in rows if r["std"] > 0])
    return (
        f"  deterministic gradient {deterministic:.10f}; at std = {std:g} the exact gradient of all is "
        f"{at['reparameterization']['exact_mean']:.10f}\n"
        f"  at std = {std:g}: Var reparameterization = {variance['reparameterization'] / std**2:.4g} std^2, "
        f"score function {variance['score function'] * std**2:.5g} / std^2, "
        f"with value baseline {variance['reward to go, value baseline']:.3g}\n"
        f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"
    )


STUDY = study.Study(
    name="noise_scale",
    question="Why is there no reward gradient in the policy gradient, and how does one use it?",
    columns=("process_noise", "horizon", "std", *study.MEASURED),
    settings=settings,
    rows=rows,
    report=report,
)
