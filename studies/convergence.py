"""How fast a Monte Carlo gradient converges, what its errors look like, and how large a batch points uphill.

On the scalar problem of the study `ladder` (s_next = .9 s + .5 a + w, a = -.6 s + .5 e, w ~ N(0, .04), reward -(s^2 + .1 a^2),
10 steps), whose gradient is known:

    running     the error |mean of N samples - gradient| of every rung of the ladder over independent repetitions: root mean
                square, which should be sqrt(variance / N) (with evolution strategies: and the bias, at which it stays), and
                quantiles, which tend to those of a normal distribution
    direction   how often the mean of a batch of B trajectories has the wrong sign
    uphill      how often it points downhill, P(g^T dJ < 0), and E cos(g, dJ), on two double integrators with 8 parameters
    arms        the same on a bandit, exactly
    batches     the variance of a mean over a batch of G, with baselines made of the batch itself

A direction for one parameter is a sign, and its law for large B is Phi(-sqrt(B) |dJ| / std). Exact values at every B are
known where a trajectory has few outcomes: on a bandit with three arms, rewards certain, a batch is three counts, and
everything is a sum over them. One trajectory without a baseline points downhill there in 65 of 100 cases, although its mean is
the gradient: it makes the arm likelier that it happened to take, and that is mostly the middle one. Leave one out, the mean of
the same batch and standardised advantages all point the same way: they differ in length, (R_i - Rbar) z_i summed and divided by
G - 1, G, or G std. Where a batch has one arm alone they are zero, and point nowhere; that counts as a cosine of 0 and as not
downhill.

The mean of the same batch as a baseline has the mean (1 - 1/G) dJ, exactly: each return is in its own baseline. Its variance
is that of leave one out times (1 - 1/G)^2, so that it looks better than it is. Leave one out is unbiased and costs, for large
G, what the exact J as a baseline does.

How often intervals for means and variances cover is the question of the study `coverage`; its results are drawn beside these.

References
----------
Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in reinforcement learning; Kool,
van Hoof and Welling (2019), Buy 4 REINFORCE samples, get a baseline for free.
"""

import math
from statistics import NormalDist

import numpy as np

import mcgrad as mg
from mcgrad import baselines as b
from mcgrad import estimators as e
from mcgrad import study
from mcgrad.estimators.estimator import rollouts
from studies import ladder

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOGETHER = 10  # repetitions in memory at once
SIGNS = {  # whose direction is measured on the scalar problem
    "score function": lambda: e.score_function(),
    "reward to go": lambda: e.reward_to_go(),
    "reward to go, value baseline": lambda: e.reward_to_go(b.value()),
    "reparameterization": lambda: e.reparameterization(),
}
ARMS, CHANCES = (0.0, 1.0, 2.0), (0.05, 0.65, 0.3)  # rewards of three arms, and the policy
MEASURED_GROUPS = (2, 4, 8)
COLUMNS = ("part", "estimator", "what", "rollouts", "count", "repeats", "value", "stderr", "exact")
COLUMNS += tuple(f"q{round(100 * q)}" for q in QUANTILES)


def settings(quick):
    """Return the parts; a quick run has fewer rungs, repetitions and samples."""
    names = [name for name, rung in ladder.RUNGS.items() if rung.quick or not quick]
    count, repeats = (2048, 20) if quick else (32_768, 100)
    total = 2**16 if quick else 2**21
    return [
        {"part": "running", "names": names, "count": count, "repeats": repeats, "start": 0},
        {"part": "direction", "count": total, "start": 10**9},
        {"part": "uphill", "count": total // 4, "start": 0},
        {"part": "arms", "largest": 32 if quick else 128, "count": total // 4, "start": 0},
        {"part": "batches", "largest": 16 if quick else 64, "count": total // 8, "start": 2 * 10**9},
    ]


def full():
    """Return the parts with ten times the repetitions and four times the samples."""
    found = settings(False)
    for setting in found:
        setting["repeats" if "repeats" in setting else "count"] *= 10 if "repeats" in setting else 4
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    part = {f.__name__: f for f in (running, direction, uphill, arms, batches)}[setting["part"]]
    options = {key: value for key, value in setting.items() if key != "part"}
    return [{"part": setting["part"]} | row for row in part(seed=seed, **options)]


# ---- the error of a running mean ---------------------------------------------------------------------------------


def running(names, count, repeats, start, seed):
    """Return, for each rung and N = 1, 2, 4, .., the root mean square of errors, its standard error, and quantiles."""
    p, theta = ladder.scalar()
    made = {name: ladder.RUNGS[name].make() for name in names}
    gradient = mg.exact.gradient(p, theta)[0]
    at = 2 ** np.arange(int(math.log2(count)) + 1)
    errors = {name: [] for name in made}
    for first in range(0, repeats, TOGETHER):
        number = min(TOGETHER, repeats - first)
        samples = mg.sample(p, theta, made, number * count, seed, start=start + first * count)
        for name, x in samples.items():
            means = np.cumsum(x.reshape(number, count), axis=1)[:, at - 1] / at
            errors[name].append(np.abs(means - gradient))
    found = []
    for name, estimator in made.items():
        variance = float(mg.exact.variance(p, theta, estimator)[0])
        bias = float(mg.exact.mean(p, theta, estimator)[0]) - gradient
        error = np.concatenate(errors[name])
        for N, x in zip(at, error.T, strict=True):
            root = math.sqrt(np.mean(x**2))
            row = {"estimator": name, "rollouts": rollouts(estimator, p), "count": int(N), "repeats": repeats}
            exact = math.sqrt(variance / N + bias**2)
            spread = max(
                float(np.std(x**2, ddof=1)) / root, math.sqrt(2.0) * exact
            )  # of few squares: not below the normal one
            row |= {"value": root, "stderr": spread / (2 * math.sqrt(repeats)), "exact": exact}
            found.append(
                row | dict(zip(COLUMNS[-len(QUANTILES) :], map(float, np.quantile(x, QUANTILES)), strict=True))
            )
    return found


# ---- directions --------------------------------------------------------------------------------------------------


def direction(count, start, seed):
    """Return how often the mean of a batch has the wrong sign, and for `exact` the law of large batches."""
    p, theta = ladder.scalar()
    made = {name: make() for name, make in SIGNS.items()}
    gradient = mg.exact.gradient(p, theta)[0]
    samples = mg.sample(p, theta, made, count, seed, start=start)
    found = []
    for name, estimator in made.items():
        std = math.sqrt(mg.exact.variance(p, theta, estimator)[0])
        for B in 2 ** np.arange(11):
            means = samples[name].reshape(-1, B).mean(axis=1)
            wrong, number = float(np.mean(means * gradient < 0)), len(means)
            row = {"estimator": name, "rollouts": 1, "count": int(B), "repeats": number, "value": wrong}
            row |= {"stderr": math.sqrt(max(wrong * (1 - wrong), 1 / number) / number)}
            found.append(row | {"exact": NormalDist().cdf(-math.sqrt(B) * abs(gradient) / std)})
    return found


def uphill(count, start, seed):
    """Return P(downhill) and E cos of batches on the problem of many parameters, measured."""
    p, theta = ladder.two_double_integrators()
    gradient = mg.exact.gradient(p, theta)
    samples = mg.sample(p, theta, {name: make() for name, make in SIGNS.items()}, count, seed, start=start)
    found = []
    for name, x in samples.items():
        for B in 2 ** np.arange(11):
            cosines = cosine(x.reshape(-1, B, x.shape[1]).mean(axis=1), gradient)
            found += [{"estimator": name, "rollouts": 1, "count": int(B)} | row for row in shares(cosines)]
    return found


def shares(cosines):
    """Return the mean of cosines and how often they are negative, with standard errors, as rows."""
    found = []
    for what, x in (("cosine", cosines), ("downhill", (cosines < 0).astype(float))):
        error = max(float(np.std(x, ddof=1)), 1 / math.sqrt(len(x))) / math.sqrt(len(x))
        found.append({"what": what, "repeats": len(x), "value": float(x.mean()), "stderr": error})
    return found


def three_arms():
    """Return a bandit with three arms whose rewards are certain, and theta."""
    return mg.Problem(mg.environments.bandit(list(ARMS)), mg.policies.softmax(1, 3), 1), np.log(CHANCES)


def arms(largest, count, start, seed):
    """Return P(downhill) and E cos of batches of three arms: sums over all counts, and measured."""
    p, theta = three_arms()
    gradient = mg.exact.gradient(p, theta)
    level = float(np.dot(ARMS, CHANCES))
    plain = mg.sample(p, theta, {"none": e.score_function(), "J": e.score_function(level)}, count, seed, start=start)
    labels = {"score function": "none", "score function, baseline J": "J", "score function, leave one out": "group"}
    found = []
    for B in 2 ** np.arange(int(math.log2(largest)) + 1):
        groups = (
            mg.sample(p, theta, {"": e.leave_one_out(int(B))}, count // int(B), seed) if B in MEASURED_GROUPS else {}
        )
        for name, baseline in labels.items():
            if baseline == "group" and B == 1:
                continue
            exact = directions(int(B), baseline)
            means = groups.get("") if baseline == "group" else plain[baseline].reshape(-1, B, 3).mean(axis=1)
            cosines = None if means is None else cosine(means, gradient)
            seen = [{"what": what} for what in exact] if cosines is None else shares(cosines)
            about = {"estimator": name, "rollouts": 1, "count": int(B)}
            found += [about | row | {"exact": exact[row["what"]]} for row in seen]
    return found


def directions(B, baseline):
    """Return {"downhill": P(g^T dJ < 0), "cosine": E cos(g, dJ)} for batches of B arms, by going through all counts.

    Parameters
    ----------
    B : int
    baseline : {"none", "J", "group"}
        "group" is leave one out, and any other multiple of sum_i (R_i - Rbar) z_i.
    """
    values, chances = np.array(ARMS), np.array(CHANCES)
    first, second = (x.ravel() for x in np.meshgrid(np.arange(B + 1), np.arange(B + 1), indexing="ij"))
    first, second = first[first + second <= B], second[first + second <= B]
    counts = np.stack([first, second, B - first - second], axis=1)
    log = math.lgamma(B + 1) - np.vectorize(math.lgamma)(counts + 1.0).sum(axis=1) + counts @ np.log(chances)
    level = {"none": 0.0, "J": float(values @ chances), "group": (counts @ values / B)[:, None]}[baseline]
    weights = counts * (values - level)  # sum_i (R_i - b) onehot(a_i)
    g = weights - weights.sum(axis=1, keepdims=True) * chances
    found, chance = cosine(g, chances * (values - values @ chances)), np.exp(log)
    return {"downhill": float(chance @ (found < 0)), "cosine": float(chance @ found)}


def cosine(g, gradient):
    """Return the cosines of rows with the gradient; 0 where a row, or what is not rounding of it, is 0."""
    sizes = np.linalg.norm(g, axis=1)
    along = g @ gradient / np.linalg.norm(gradient)
    still = sizes <= 1e-9 * sizes.max()
    return np.where(still | (np.abs(along) <= 1e-12 * sizes), 0.0, along / np.where(still, 1.0, sizes))


# ---- batches -----------------------------------------------------------------------------------------------------


def batches(largest, count, start, seed):
    """Return means, in units of the gradient, and variances times G, in units of that without a baseline, of batches of G."""
    p, theta = ladder.scalar()
    gradient, unit = mg.exact.gradient(p, theta)[0], mg.exact.variance(p, theta, e.score_function())[0]
    found = []
    for G in 2 ** np.arange(int(math.log2(largest)) + 1):
        G = int(G)
        single = {"score function": e.score_function(), "score function, baseline J": e.score_function(b.mean_return())}
        groups = (
            {"score function, leave one out": e.leave_one_out(G), "same-batch mean": e.same_batch_mean(G)}
            if G > 1
            else {}
        )
        seen = (
            mg.measure(p, theta, groups, count // G, seed, start=start, progress=False) if G in MEASURED_GROUPS else {}
        )
        for name, estimator in (single | groups).items():
            variance, mean = (float(f(p, theta, estimator)[0]) for f in (mg.exact.variance, mg.exact.mean))
            scale = G / unit if name in groups else 1 / unit  # the mean of G of them varies G times less
            exact = {"mean": mean / gradient, "variance": variance * scale}
            for what, value in exact.items():
                row = {"estimator": name, "what": what, "rollouts": G, "count": G, "exact": value}
                if name in seen:
                    x = seen[name]
                    numbers = (x.mean[0] / gradient, x.stderr[0] / abs(gradient))
                    numbers = numbers if what == "mean" else (x.variance[0] * scale, x.variance_stderr[0] * scale)
                    row |= {"repeats": x.count, "value": float(numbers[0]), "stderr": float(numbers[1])}
                found.append(row)
    return found


# ---- the answer --------------------------------------------------------------------------------------------------


def report(rows):
    """Return slopes of errors, the batches that point uphill in 95 of 100, and what batches do to baselines."""
    of = {part: [r for r in rows if r["part"] == part] for part in ("running", "direction", "arms", "batches")}
    lines, z = [], []
    for name in dict.fromkeys(r["estimator"] for r in of["running"]):
        here = [r for r in of["running"] if r["estimator"] == name]
        x, y = (np.log([r[key] for r in here[len(here) // 2 :]]) for key in ("count", "value"))
        lines.append(
            f"  {name}: error {here[-1]['value']:.3g} at N = {here[-1]['count']}, slope {np.polyfit(x, y, 1)[0]:.2f}"
        )
        z += [abs(r["value"] - r["exact"]) / r["stderr"] for r in here if r["count"] >= 64]
    lines.append(f"  {len(z)} root mean squares, at worst {max(z):.1f} standard errors from exact")
    for name in SIGNS:
        enough = [r["count"] for r in of["direction"] if r["estimator"] == name and r["value"] < 0.05]
        lines.append(
            f"  {name}: uphill in 95 of 100 batches of {min(enough) if enough else 'more than all that were tried'}"
        )
    largest = max(r["count"] for r in of["batches"])
    for r in of["batches"]:
        if r["count"] == largest:
            lines.append(f"  G = {largest}: {r['estimator']}, {r['what']} {r['exact']:.4f}")
    return "\n".join(lines)


STUDY = study.Study(
    name="convergence",
    question="How fast does a Monte Carlo gradient converge, and how often does a batch of trajectories point downhill?",
    columns=COLUMNS,
    settings=settings,
    rows=rows,
    report=report,
    full=full,
)
