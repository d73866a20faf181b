"""How often intervals cover: of means, variances, total variances and ratios of variances, nominally 95 %.

Ten problems with known variances, none of which the rule for intervals was tuned on (see `mcgrad.intervals`), kurtosis 3 to
200; many measurements of N trajectories each. An interval should cover the exact value in 95 of 100 measurements, whatever
N; two standard errors on either side do so at large N alone:

                      intervals of `mcgrad`                        two standard errors
                      N = 1e3     1e4                              N = 1e3     1e4
    variances         95 to 98    94 to 98                         77 to 96    90 to 95
    totals            95 to 98    94 to 98                         77 to 96    90 to 96
    ratios            92 to 99    95 to 98                         86 to 100   95 to 100

(per cent, over problems and estimators; ratios on common noise, with two standard errors as if apart; where two estimators are
the same, as are those of a reward at the end alone, their ratio is covered always). The ratio of 92 is one of kurtosis 200
(LQ of radius 1.5, reward to go): 93.0 and 92.1 of 2000 measurements each in two runs, so 92.6 +- 0.4. At N = 1e5 there are
200 measurements of each alone, and a standard error of such a share is 1.5: variances and totals 94 to 98, 95.7 on average, two
standard errors 92 to 97, 94.6 on average; chance makes the lowest of 29 such shares 92.
Nearly all misses are low: without a large value among the samples, the variance is too small, and its standard error, too.
"""

import numpy as np

import mcgrad as mg
from mcgrad import environments as env
from mcgrad import policies, study
from mcgrad.moments import of_samples
from studies import horizon

LEVEL = 0.95
COUNTS = {1000: 2000, 10_000: 1000, 100_000: 200}  # trajectories of a measurement, and measurements
PIECE = 1_000_000  # samples in memory at once


def linear_quadratic(radius, steps):
    """Return a scalar loop of the study `horizon`."""
    return lambda: horizon.problem(radius, steps)


def two_states():
    """Return a rotation in the plane that is controlled in one component, with a learned scale and a discount."""
    turn = [[0.9, 0.3], [-0.3, 0.9]]
    environment = env.linear_quadratic(turn, [[0.0], [0.5]], np.eye(2), [[0.1]], process_noise=0.01 * np.eye(2))
    policy = policies.linear_gaussian(2, 1, std=0.4, learn_std=True)
    return mg.Problem(environment, policy, 12, 0.95), policy.theta([[0.1, -0.5]])


def decision_process():
    """Return three states and two actions, rewarded at a rare place."""
    P = [[[0.8, 0.2, 0.0], [0.5, 0.5, 0.0]], [[0.5, 0.4, 0.1], [0.2, 0.7, 0.1]], [[0.9, 0.1, 0.0], [0.9, 0.1, 0.0]]]
    environment = env.tabular(P, [[0.0, 0.1], [0.2, 0.0], [3.0, 3.0]], [1.0, 0.0, 0.0])
    return mg.Problem(environment, policies.softmax(3, 2), 8), np.array([0.5, -0.5, 0.0, 1.0, 0.0, 0.0])


def walk():
    """Return a random walk between two ends."""
    return mg.Problem(env.random_walk(5), policies.softmax(5, 2), 20), np.linspace(-0.5, 0.5, 10)


def one_step(environment, mean, std, learn_std=True):
    """Return a cost of one step."""

    def make():
        policy = policies.gaussian(1) if learn_std else policies.gaussian(1, std=std)
        return mg.Problem(environment, policy, 1), policy.theta([mean, std] if learn_std else [mean])

    return make


PROBLEMS = {
    "LQ, radius 0.5, T = 5": linear_quadratic(0.5, 5),
    "LQ, radius 1.1, T = 10": linear_quadratic(1.1, 10),
    "LQ, radius 1.5, T = 4": linear_quadratic(1.5, 4),
    "LQ, two states, learned std": two_states,
    "decision process": decision_process,
    "random walk": walk,
    "quadratic cost, k = 2": one_step(env.quadratic_cost(2.0), 1.0, 1.0),
    "exponential cost, k = 1": one_step(env.exponential_cost(1.0), 1.0, 1.0),
    "step reward": one_step(env.step_reward(), 0.1, 0.2, False),
    "ripples on a valley": one_step(env.sinusoid_on_parabola(3.0), 10.0, 0.3, False),
}


def estimators(problem, theta):
    """Return the estimators whose exact variance is known, by name."""
    found = {"score function": mg.estimators.score_function(), "reward to go": mg.estimators.reward_to_go()}
    if problem.horizon == 1:
        found = {"score function": mg.estimators.score_function()}
    else:
        found["reward to go, value baseline"] = mg.estimators.reward_to_go(mg.baselines.value())
    if not problem.environment.choices and not problem.environment.discontinuous:
        found["reparameterization"] = mg.estimators.reparameterization()
    return found


def settings(quick):
    """Return problems and numbers of trajectories; each measurement has trajectories of its own."""
    found, start = [], 0
    for name in list(PROBLEMS)[::3] if quick else PROBLEMS:
        for count, repeats in COUNTS.items():
            repeats = repeats // 4 if quick else repeats
            if quick and count > 10_000:
                continue
            found.append({"problem": name, "count": count, "repeats": repeats, "start": start})
            start += count * repeats
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting: how often each interval covered, over all parameters of each estimator."""
    problem, theta = PROBLEMS[setting["problem"]]()
    chosen = estimators(problem, theta)
    gradient = mg.exact.gradient(problem, theta)
    variances = {name: mg.exact.variance(problem, theta, e) for name, e in chosen.items()}
    tally, kurtosis = {}, {name: [] for name in chosen}

    def note(name, what, truth, low, high, plain_low, plain_high):
        known = np.broadcast_to(truth > 0 if what != "mean" else True, np.shape(truth))
        values = [high < truth, low > truth, (plain_low > truth) | (plain_high < truth)]
        tally.setdefault((name, what), []).append([np.atleast_1d(x)[np.atleast_1d(known)] for x in values])

    for found in measurements(problem, theta, chosen, setting, seed):
        first, *others = chosen
        for name in chosen:
            x = found[name]
            kurtosis[name].append(np.nanmax(x.kurtosis))
            plain = 1.96 * x.stderr
            note(name, "mean", gradient, x.mean - plain, x.mean + plain, x.mean - plain, x.mean + plain)
            plain = 1.96 * x.variance_stderr
            limits = x.variance_interval(LEVEL)
            note(name, "variance", variances[name], *limits, x.variance - plain, x.variance + plain)
            total, plain = x.total_variance, 1.96 * x.total_variance_stderr
            limits = x.total_variance_interval(LEVEL)
            note(name, "total variance", variances[name].sum(), *limits, total - plain, total + plain)
        for name in others:
            truth = variances[first].sum() / variances[name].sum()
            ratio, *limits = found.total_variance_ratio(first, name, LEVEL)
            apart = [found[k].total_variance_stderr / found[k].total_variance for k in (first, name)]
            plain = 1.96 * ratio * np.hypot(*apart)
            note(name, "ratio", truth, *limits, ratio - plain, ratio + plain)
    result = []
    for (name, what), misses in tally.items():
        low, high, plain = np.mean(misses, axis=(0, 2))
        row = {"problem": setting["problem"], "estimator": name, "interval": what, "count": setting["count"]}
        row |= {"repeats": setting["repeats"], "kurtosis": float(np.mean(kurtosis[name])), "coverage": 1 - low - high}
        result.append(row | {"too_low": low, "too_high": high, "coverage_of_two_stderr": 1 - plain})
    return [{k: float(v) if isinstance(v, np.floating) else v for k, v in row.items()} for row in result]


def measurements(problem, theta, chosen, setting, seed):
    """Yield the moments of each measurement."""
    count, left, start = setting["count"], setting["repeats"], setting["start"]
    while left:
        together = min(left, max(PIECE // count, 1))
        samples = mg.sample(problem, theta, chosen, together * count, seed, start=start)
        for k in range(together):
            yield of_samples({name: x[k * count : (k + 1) * count] for name, x in samples.items()})
        left, start = left - together, start + together * count


def report(rows):
    """Return the lowest, mean and highest coverage of each kind of interval for each number of trajectories."""
    lines = ["  interval        trajectories   coverage: lowest, mean, highest    of two standard errors: lowest, mean"]
    for what in ("mean", "variance", "total variance", "ratio"):
        for count in sorted({r["count"] for r in rows}):
            here = [r for r in rows if r["interval"] == what and r["count"] == count]
            found, plain = ([100 * r[key] for r in here] for key in ("coverage", "coverage_of_two_stderr"))
            lines.append(
                f"  {what:<15} {count:>12}   {min(found):8.1f} {np.mean(found):8.1f} {max(found):8.1f}"
                f"             {min(plain):8.1f} {np.mean(plain):8.1f}"
            )
    return "\n".join(lines)


COLUMNS = ("problem", "estimator", "interval", "count", "repeats", "kurtosis", "coverage", "too_low", "too_high")

STUDY = study.Study(
    name="coverage",
    question="How often do intervals of means, variances, total variances and ratios cover the exact value?",
    columns=(*COLUMNS, "coverage_of_two_stderr"),
    settings=settings,
    rows=rows,
    report=report,
)
