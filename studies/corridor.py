"""Sutton and Barto's short corridor: REINFORCE, step by step, and what a step size does (figures 13.1 and 13.2 of the book).

Three states that look alike, the middle one with switched actions, -1 for each step until the right end is reached (example
13.1). A softmax over two logits goes right with probability p in all of them:

    J(p) = (2p - 4) / (p (1 - p)),    -11.66 at best, at p = 2 - sqrt 2;    -82.1 at p = .05, where learning starts

The algorithm of the book (page 328) changes theta after *each step* of an episode, theta + alpha G_t grad log pi(A_t | theta),
so that the later ones of an episode see a theta that the earlier ones have moved; with a baseline (page 330) w of one weight,
w + alpha_w (G_t - w) and theta + alpha (G_t - w) grad log pi. `per episode` is the same sum taken at one theta: a batch of one
trajectory of `mg.ascend`, with another simulation and another generator; the two agree to first order in alpha.

How large may alpha be? Let h = theta_right - theta_left, and g the derivative of J in h.

    dh / dk = 2 alpha g(h)                            the mean path for alpha -> 0: 1 / alpha sets the time scale
    J* - E J -> alpha v / 4                           in the end, v the variance of a gradient along (1, -1) / sqrt 2

A small alpha is late, a large one ends at a larger loss, and is thrown about on the way: at p = .05 the std of one gradient is
larger than the gradient itself, and one bad episode undoes many good ones.

References
----------
Sutton and Barto (2018), Reinforcement learning: an introduction, second edition, example 13.1, figures 13.1 and 13.2. The
initial theta is not in the text; here it is that of p = .05.
"""

import functools
import math

import numpy as np

import mcgrad as mg
from mcgrad import study

EPISODES = 1000
START = 0.05  # probability of going right
BEST = 2.0 - math.sqrt(2.0)
OPTIMUM = -6.0 - 4.0 * math.sqrt(2.0)
LONGEST = 10_000  # steps after which a run is lost: it goes the wrong way for good, as far as anybody can wait
NUMBERS = 200_000  # steps of a run, all episodes together; some 30000 are usual
CURVES = {  # of the book: alpha, alpha of the baseline's weight
    "2^-12": (2.0**-12, 0.0),
    "2^-13": (2.0**-13, 0.0),
    "2^-14": (2.0**-14, 0.0),
    "2^-9, baseline": (2.0**-9, 2.0**-6),
}
PER_EPISODE = "2^-13, per episode"
COLUMNS = (
    *("curve", "alpha", "alpha_w", "episode", "runs", "lost", "mean_return", "stderr", "objective", "objective_stderr"),
    *("low", "median", "high", "predicted", "plateau"),
)


def objective(p):
    """Return J of going right with probability p, without a horizon."""
    with np.errstate(divide="ignore"):
        return (2.0 * p - 4.0) / (p * (1.0 - p))


def going_right(h):
    """Return p at a difference of the logits; it overflows nowhere."""
    return 0.5 + 0.5 * np.tanh(np.asarray(h) / 2.0)


def slope(h):
    """Return dJ/dh at the difference h of the logits, p = 1 / (1 + exp(-h))."""
    p = 1.0 / (1.0 + math.exp(-h))
    return (2.0 * p * (1.0 - p) - (2.0 * p - 4.0) * (1.0 - 2.0 * p)) / (p * (1.0 - p))


def problem(horizon=1500):
    """Return (problem, theta) of the library; theta is (left, right), at the start."""
    policy = mg.policies.linear_softmax(mg.environments.corridor_features())
    half = 0.5 * math.log(START / (1.0 - START))
    return mg.Problem(mg.environments.short_corridor(), policy, horizon), np.array([-half, half])


# ---- REINFORCE as in the book ------------------------------------------------------------------------------------


def reinforce(u, theta, alpha, alpha_w, episodes):
    """Return the returns (episodes,) and the logits before each episode (episodes, 2) of one run.

    Parameters
    ----------
    u : (n,) array
        Uniform numbers, one for each step.
    theta : (2,) array
        Logits of left and right; it is changed.

    A run is lost, its returns are -infinity from then on, with an episode that does not end in `LONGEST` steps, or in as many
    as there are numbers.
    """
    returns, path = np.empty(episodes), np.empty((episodes, 2))
    went_right = np.empty(LONGEST, dtype=np.bool_)
    w, used = 0.0, 0
    for k in range(episodes):
        path[k] = theta
        p = 1.0 / (1.0 + math.exp(theta[0] - theta[1]))
        state, steps = 0, 0
        while state != 3 and steps < LONGEST and used < len(u):
            right = u[used] < p
            used += 1
            went_right[steps] = right
            steps += 1
            if state == 1:  # switched
                state = 0 if right else 2
            elif right:
                state += 1
            elif state == 2:
                state = 1
        if state != 3:
            returns[k:], path[k:] = -np.inf, theta
            break
        returns[k] = -steps
        for t in range(steps):
            advantage = t - steps - w  # G_t = -(steps - t)
            w += alpha_w * advantage
            p = 1.0 / (1.0 + math.exp(theta[0] - theta[1]))
            change = alpha * advantage * ((1.0 - p) if went_right[t] else -p)  # d log pi / d theta_right
            theta[1] += change
            theta[0] -= change
    return returns, path


@functools.cache
def compiled():
    """Return `reinforce` as machine code."""
    import numba

    return numba.njit(reinforce)


def simulated(alpha, alpha_w, runs, seed):
    """Return returns (runs, episodes) and p before each episode (runs, episodes)."""
    _, start = problem(1)
    found = []
    for run in range(runs):
        u = np.random.Generator(np.random.Philox(key=[seed, run])).random(NUMBERS)
        found.append(compiled()(u, start.copy(), alpha, alpha_w, EPISODES))
    returns, path = (np.stack(x) for x in zip(*found, strict=True))
    return returns, going_right(path[:, :, 1] - path[:, :, 0])


def predicted(alpha, episodes):
    """Return J along the mean path dh/dk = 2 alpha dJ/dh, before each episode (episodes,): Runge and Kutta, unit steps."""
    h, found = math.log(START / (1.0 - START)), np.empty(episodes)
    for k in range(episodes):
        found[k] = objective(1.0 / (1.0 + math.exp(-h)))
        a = 2.0 * alpha * slope(h)
        b = 2.0 * alpha * slope(h + a / 2)
        c = 2.0 * alpha * slope(h + b / 2)
        d = 2.0 * alpha * slope(h + c)
        h += (a + 2 * b + 2 * c + d) / 6
    return found


@functools.cache
def plateau_variance(horizon=400):
    """Return v, the exact variance of a gradient along (1, -1) / sqrt 2 at the best p: reward to go, no baseline."""
    p, _ = problem(horizon)
    h = math.log(BEST / (1.0 - BEST))
    # The two components are each other's negative: the one along (1, -1) / sqrt 2 is sqrt 2 times either.
    return 2.0 * float(mg.exact.variance(p, [-h / 2, h / 2], mg.estimators.reward_to_go())[0])


# ---- the study ---------------------------------------------------------------------------------------------------


def settings(quick):
    """Return the curves of the two figures of the book, and one that is taken episode by episode."""
    runs = 40 if quick else 300
    found = [{"curve": name, "alpha": a, "alpha_w": w, "runs": runs} for name, (a, w) in CURVES.items()]
    return [*found, {"curve": PER_EPISODE, "alpha": CURVES["2^-13"][0], "alpha_w": 0.0, "runs": 10 if quick else 60}]


def kept():
    """Return the episodes that become rows: windows between them are averaged, as their returns are noisy."""
    return np.unique(np.rint(np.concatenate([np.arange(0, 50, 5), np.geomspace(50, EPISODES, 30)])).astype(int))


def rows(setting, seed, threads):
    """Return a row for each window of episodes: the mean return in it, and the objective before it.

    Means are those of the runs that are not lost; quantiles count all.
    """
    alpha, runs, edges = setting["alpha"], setting["runs"], kept()
    if setting["curve"] == PER_EPISODE:
        J, returns = by_ascent(alpha, runs, seed, edges[:-1], threads), None
    else:
        returns, p = simulated(alpha, setting["alpha_w"], runs, seed)
        J = objective(p[:, edges[:-1]])
    well = np.ones(runs, bool) if returns is None else np.isfinite(returns).all(axis=1)
    path = predicted(alpha, EPISODES)
    loss = None if setting["alpha_w"] else alpha * plateau_variance() / 4.0
    found = []
    for k, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        here, quantile = J[well, k], np.sort(J[:, k])
        quantile = quantile[np.rint(np.array([0.1, 0.5, 0.9]) * (runs - 1)).astype(int)]
        row = {
            "episode": int(low),
            "objective": here.mean(),
            "objective_stderr": here.std(ddof=1) / math.sqrt(len(here)),
        }
        row |= dict(zip(("low", "median", "high"), quantile, strict=True))
        row |= {"predicted": None if setting["alpha_w"] else path[low], "plateau": loss}
        if returns is not None:
            window = returns[well, low:high].mean(axis=1)
            row |= {"mean_return": window.mean(), "stderr": window.std(ddof=1) / math.sqrt(len(window))}
        row = {key: None if x is None else float(f"{x:.7g}") for key, x in row.items()}
        row |= {"episode": int(low), "lost": int((~well).sum())}
        found.append({key: setting[key] for key in ("curve", "alpha", "alpha_w", "runs")} | row)
    return found


def by_ascent(alpha, runs, seed, steps, threads):
    """Return J (runs, steps) of ascent with one whole episode at a time, by the library."""
    p, start = problem()
    options = {
        "optimizer": mg.optimizers.sgd(alpha),
        "judged": None,
        "seeds": [10_000 * seed + k for k in range(runs)],
        "threads": threads,
    }
    found = mg.ascend(
        p, start, mg.estimators.reward_to_go(), 1, int(steps[-1]), record=steps.tolist(), progress=False, **options
    )
    return objective(going_right(found.theta[:, :, 1] - found.theta[:, :, 0]))


def report(rows):
    """Return where each curve is after 100 and after all episodes, beside the mean path and the loss in the end."""
    lines = []
    for name in dict.fromkeys(row["curve"] for row in rows):
        own = [row for row in rows if row["curve"] == name]
        at = min(own, key=lambda row: abs(row["episode"] - 100))
        theory = "" if own[0]["predicted"] is None else f", mean path {at['predicted']:.4g}"
        lines.append(
            f"  {name}: {own[-1]['lost']} of {own[-1]['runs']} runs lost; J = {at['objective']:.4g} +- "
            f"{at['objective_stderr']:.2g} before episode {at['episode']}{theory}; {own[-1]['objective']:.5g} +- "
            f"{own[-1]['objective_stderr']:.1g} in the end (best {OPTIMUM:.5g})"
        )
    return "\n".join(lines)


STUDY = study.Study(
    name="corridor",
    question="How does REINFORCE climb the short corridor, and what does its step size do?",
    columns=COLUMNS,
    settings=settings,
    rows=rows,
    report=report,
)
