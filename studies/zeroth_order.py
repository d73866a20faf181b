"""Scores against directions: policy gradients and zeroth-order methods on linear-quadratic problems.

Variance: one sample of the gradient on the scalar problem of tables (s_next = .9 s + .5 a + w, K = -.6), T = 5 and 10. Fazel,
Ge, Kakade and Mesbahi smooth the cost over a radius r and use one return per direction; a footnote holds it plausible that
REINFORCE has the lower variance. Here by Gaussian smoothing of width h:

    one point      R(K + h z) z / h                          variance ~ E R^2 / h^2: explodes as the bias h^2 vanishes
    two points     (R(K + h z) - R(K - h z)) z / 2h          on common noise: bounded, 2 E pw^2 + E pw^2 - g^2 as h -> 0

REINFORCE is unbiased, and has less variance than one point wherever the bias of that is below a tenth; two points have less
than a tenth of either, and need the same noise twice.

Queries: what that costs. Malik et al. need order 1 / epsilon^2 returns with one point to come within epsilon of the optimum,
1 / epsilon with two, with a width like sqrt(epsilon); they leave REINFORCE open. Here plain ascent from K = -.6, T = 10, at the
rate alpha = .1 / H, H the curvature at the optimum, with a batch for which theory leaves a loss of epsilon / 2 in the end,
alpha V / (4 batch - 2 alpha batch H) (study: learning), V the exact variance there. Theory's loss is that of
the path without noise and epsilon / 2 (1 - (1 - alpha H)^(2 k)). It falls below epsilon after a number of steps k that grows as
log(1 / epsilon), so that returns grow as V / epsilon times that: slopes of -2 (V ~ 1 / h^2 ~ 1 / epsilon) and -1, and a
logarithm.

Double integrator: Recht's comparison, x' = [[1, 1], [0, 1]] x + [0, 1] u + w, w of std .01, cost sum of x_1^2 after each of 10
steps and u^2 before it, from x = (-1, 0), K = 0. Cost of the policy without exploration, which is exact, against rollouts.

    policy gradient           std .05, 40 rollouts a step, gains clipped to 2; baseline: mean of the other 39 (in the original
                              that of the step before); step 2, of noise x state x return: 2 std^2 in terms of the score
    ... with Adam             std .1, 8 rollouts a step, rate .05
    random search             directions of std .04, 4 pairs a step, step .05
    uniform sampling          the best of N gains in [-3, 3]^2, told without noise

These are the published steps. Each method takes for each budget the one of seven, a tenth to ten times the published, that
has the best median cost in nine trials which are not reported.

References
----------
Fazel, Ge, Kakade and Mesbahi (2018), Global convergence of policy gradient methods for the linear quadratic regulator,
algorithm 1; Malik, Pananjady, Bhatia, Khamaru, Bartlett and Wainwright (2019), Derivative-free methods for policy optimization;
Recht (2019), A tour of reinforcement learning, section 5; Mania, Guy and Recht (2018), Simple random search.
"""

import math
import warnings

import numpy as np

import mcgrad as mg
from mcgrad import estimators as e
from mcgrad import optimizers as o
from mcgrad import study
from mcgrad.estimators.estimator import rollouts as rollouts_of
from studies.ladder import scalar
from studies.learning import middle, quantiles

COLUMNS = (
    *("part", "horizon", "width", "rollouts", "trials", "lost", "low", "median", "high", "optimum", "rate"),
    *study.MEASURED,
    *("relative_bias", "epsilon", "batch", "steps", "predicted"),
)
WIDTHS = tuple(float(f"{x:.4g}") for x in np.geomspace(0.02, 0.4, 14))
A, B, START, NOISE = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.0], [1.0]]), np.array([-1.0, 0.0]), 0.01
STEPS = 10
MOST = 5000  # rollouts of a trial
TUNING = 9  # trials that choose a step, and are not reported
FACTORS = tuple(float(f"{x:.3g}") for x in np.geomspace(0.1, 10.0, 7))  # of the published step
EPSILONS = tuple(float(f"{x:.2g}") for x in np.geomspace(0.03, 0.0003, 9))


# ---- variances ---------------------------------------------------------------------------------------------------


def problem(horizon):
    """Return (problem, theta) of the scalar system over a horizon."""
    p, theta = scalar()
    return mg.Problem(p.environment, p.policy, horizon), theta


MAKE = {
    "score function": lambda width: e.score_function(),
    "one point": lambda width: e.evolution_strategies(width, points=1),
    "two points": lambda width: e.evolution_strategies(width, points=2),
}


def variances(setting, seed, threads):
    """Return rows of one estimator at one width: exact where the theory knows them, and measured."""
    p, theta = problem(setting["horizon"])
    width = setting["width"]
    options = {"count": setting["count"], "start": setting["start"], "seed": seed, "threads": threads}
    rows = study.measured(p, theta, {setting["estimator"]: MAKE[setting["estimator"]](width)}, **options)
    gradient = float(mg.exact.gradient(p, theta)[0])
    smoothed = gradient if width is None else smoothed_gradient(p, theta, width)
    same = {"part": "variance", "horizon": setting["horizon"], "width": width}
    return [same | row | {"exact_mean": smoothed, "relative_bias": smoothed / gradient - 1.0} for row in rows]


def smoothed_gradient(p, theta, width):
    """Return E[J(K + h z) z] / h, by Gauss-Hermite quadrature: J is a polynomial of degree 2 T in K."""
    z, weight = np.polynomial.hermite_e.hermegauss(2 * p.horizon + 2)
    J = np.array([mg.exact.objective(p, theta + width * x) for x in z])
    return float((weight * z * J).sum() / weight.sum() / width)


# ---- the double integrator ---------------------------------------------------------------------------------------


def integrator(std):
    """Return the problem; its reward has -1 for the start, which no policy can help."""
    Q = np.diag([1.0, 0.0])
    environment = mg.environments.linear_quadratic(
        A,
        B,
        Q,
        [[1.0]],
        terminal_cost=Q,
        process_noise=NOISE**2 * np.eye(2),
        initial_mean=START,
        initial_cov=np.zeros((2, 2)),
    )
    return mg.Problem(environment, mg.policies.linear_gaussian(2, 1, std=std), STEPS)


def cost(K):
    """Return the expected cost of u = K x for gains (N, 2): (N,); mean and covariance, step by step."""
    K = np.asarray(K, dtype=float)
    with np.errstate(over="ignore", invalid="ignore"):
        F = A + B * K[:, None, :]
        second = np.broadcast_to(np.outer(START, START), F.shape)
        total = np.zeros(len(K))
        for _ in range(STEPS):
            total = total + np.einsum("ni,nij,nj->n", K, second, K)
            second = F @ second @ np.swapaxes(F, 1, 2) + NOISE**2 * np.eye(2)
            total = total + second[:, 0, 0]
    return np.where(np.isfinite(total), total, np.inf)


METHODS = {
    # std of actions, estimator, its samples in a step, published step, optimizer
    "policy gradient": (
        0.05,
        lambda: e.leave_one_out(40),
        1,
        2.0 * 0.05**2,
        lambda x: o.projected(o.sgd(x), -2.0, 2.0),
    ),
    "policy gradient, Adam": (0.1, lambda: e.leave_one_out(8), 1, 0.05, o.adam),
    "random search": (0.0, lambda: e.evolution_strategies(0.04), 4, 0.05, lambda x: o.projected(o.sgd(x), -2.0, 2.0)),
}
UNIFORM = "uniform sampling"


def curves(setting, seed, threads):
    """Return rows of one method: quantiles of the cost over trials, at some numbers of rollouts."""
    trials = setting["trials"]
    if setting["estimator"] == UNIFORM:
        K = np.random.default_rng([seed, 1]).uniform(-3.0, 3.0, (trials, MOST, 2))
        best = np.minimum.accumulate(cost(K.reshape(-1, 2)).reshape(trials, MOST), axis=1)
        rollouts = np.unique(np.rint(np.geomspace(1, MOST, 40)).astype(int))
        costs, lost, rates = best[:, rollouts - 1], 0, [None] * len(rollouts)
    else:
        rollouts, costs, lost, rates = tuned(setting["estimator"], trials, seed, threads)
    optimum = -mg.exact.optimum(integrator(0.0), [-0.5, -1.2]).objective - 1.0
    rows = []
    for k, number in enumerate(rollouts):
        low, median, high = quantiles(costs[:, k])
        row = {"low": low, "median": median, "high": high, "optimum": optimum}
        row = {key: float(f"{x:.7g}") if math.isfinite(x) else None for key, x in row.items()}
        rows.append(row | {"rollouts": int(number), "trials": trials, "lost": lost, "rate": rates[k]})
    same = {"part": "double integrator", "estimator": setting["estimator"], "horizon": STEPS}
    return [same | row for row in rows]


def tuned(name, trials, seed, threads):
    """Return (rollouts (k,), costs (trials, k), trials that were lost, factors (k,)), at the best step for each budget."""
    std, make, batch, published, optimizer = METHODS[name]
    p, estimator = integrator(std), make()
    steps = MOST // (batch * rollouts_of(estimator, p))
    at = sorted({0, *np.rint(np.geomspace(1, steps, 40)).astype(int).tolist()})

    def ascend(factor, seeds):
        options = {"optimizer": optimizer(factor * published), "seeds": seeds, "threads": threads, "record": at}
        found = quietly(p, np.zeros(2), estimator, batch, steps, **options)
        return found, cost(found.theta.reshape(-1, 2)).reshape(len(seeds), -1)

    seeds = [10_000 * seed + k for k in range(TUNING + trials)]
    tried = {factor: ascend(factor, seeds[:TUNING])[1] for factor in FACTORS}
    best = [min(FACTORS, key=lambda x: (middle(tried[x][:, k]), x)) for k in range(len(at))]
    found = {factor: ascend(factor, seeds[TUNING:]) for factor in sorted(set(best))}
    costs = np.stack([found[factor][1][:, k] for k, factor in enumerate(best)], axis=1)
    return found[best[0]][0].rollouts, costs, max(x.nonfinite for x, _ in found.values()), best


def quietly(*what, **options):
    """Return an ascent that judges nothing and does not warn of lost seeds: they are counted in the rows."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "of [0-9]+ seeds", UserWarning)
        return mg.ascend(*what, judged=None, progress=False, **options)


# ---- queries -----------------------------------------------------------------------------------------------------


def gaps(K):
    """Return J* - J of the scalar problem over 10 steps for gains of any shape."""
    p, theta = problem(10)
    a, b, q, r, noise, std = 0.9, 0.5, 1.0, 0.1, 0.04, 0.5  # those of `scalar`
    second, total = np.ones_like(K), np.zeros_like(K)
    for _ in range(10):
        total = total - (q + r * K**2) * second - r * std**2
        second = (a + b * K) ** 2 * second + (b * std) ** 2 + noise
    return mg.exact.optimum(p, theta).objective - total


def queries(setting, seed, threads):
    """Return one row: the returns that an estimator needs until its mean loss is below epsilon, and what theory says."""
    p, theta = problem(10)
    best = mg.exact.optimum(p, theta)
    K, H, epsilon = best.gain.ravel(), -float(mg.exact.hessian(p, best.gain.ravel())[0, 0]), setting["epsilon"]
    width = None if setting["estimator"] == "score function" else float(f"{0.5 * math.sqrt(epsilon):.4g}")
    estimator, alpha = MAKE[setting["estimator"]](width), 0.1 / H
    V = float(mg.exact.variance(p, K, estimator)[0])
    batch = max(math.ceil(alpha * V / (2 * epsilon * (1 - alpha * H / 2))), 4)
    end = alpha * V / (4 * batch * (1 - alpha * H / 2))
    path, mean = [float(gaps(np.asarray(theta))[0])], np.array(theta, dtype=float)
    while path[-1] > epsilon:
        mean = mean + alpha * mg.exact.gradient(p, mean)
        path.append(float(gaps(mean)[0]) + end * (1 - (1 - alpha * H) ** (2 * len(path))))
    predicted = crossing(path, epsilon)
    steps, seeds = math.ceil(2 * predicted) + 10, [10_000 * seed + k for k in range(setting["trials"])]
    options = {"optimizer": o.sgd(alpha), "seeds": seeds, "threads": threads, "record": list(range(steps + 1))}
    found = quietly(p, theta, estimator, batch, steps, **options)
    loss = gaps(found.theta[..., 0]).mean(axis=0)
    each, seen = batch * rollouts_of(estimator, p), crossing(loss, epsilon)
    row = {"rollouts": seen * each if seen else None, "predicted": predicted * each, "exact_variance": V}
    same = {"part": "queries", "horizon": 10, "estimator": setting["estimator"], "width": width, "epsilon": epsilon}
    return [same | row | {"batch": batch, "steps": seen, "trials": len(seeds), "lost": found.nonfinite}]


def crossing(loss, epsilon):
    """Return the step at which losses are first below epsilon, between two by their logarithms; None if they never are."""
    below = np.flatnonzero(np.asarray(loss) <= epsilon)
    if not below.size or not below[0]:
        return None
    k = int(below[0])
    return float(k - 1 + math.log(loss[k - 1] / epsilon) / math.log(loss[k - 1] / loss[k]))


# ---- the study ---------------------------------------------------------------------------------------------------


def settings(quick):
    """Return estimators and widths, on ranges of trajectories of their own; and the methods."""
    count, trials = (20_000, 10) if quick else (400_000, 50)
    found = []
    for horizon in (5, 10):
        for name in MAKE:
            for width in (None,) if name == "score function" else WIDTHS[:: 4 if quick else 1]:
                found.append({"part": "variance", "horizon": horizon, "estimator": name, "width": width})
    found = [s | {"count": count, "start": k * count} for k, s in enumerate(found)]
    found += [{"part": "double integrator", "estimator": name, "trials": trials} for name in (*METHODS, UNIFORM)]
    for name in MAKE:
        some = EPSILONS[:8:4] if quick else EPSILONS
        found += [
            {"part": "queries", "estimator": name, "epsilon": x, "trials": 8 if quick else 24}
            for x in some
            if x > 0.002 or name != "one point"  # of which a loss that small takes billions
        ]
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    make = {"variance": variances, "double integrator": curves, "queries": queries}[setting["part"]]
    return make(setting, seed, threads)


def report(rows):
    """Return Fazel's remark in numbers, and when each method comes within a tenth of the best cost."""
    lines = []
    for horizon in (5, 10):
        here = [r for r in rows if r["part"] == "variance" and r["horizon"] == horizon]
        score = next(r["variance"] for r in here if r["estimator"] == "score function")
        one = min((r for r in here if r["estimator"] == "one point"), key=lambda r: abs(r["width"] - 0.1))
        two = min((r for r in here if r["estimator"] == "two points"), key=lambda r: r["width"])
        lines.append(
            f"  T = {horizon}: variance of REINFORCE {score:.4g}, of one point {one['variance']:.4g} at width {one['width']} "
            f"(bias {one['relative_bias']:.1%}), of two points {two['variance']:.4g}"
        )
    for name in MAKE:
        own = [r for r in rows if r["part"] == "queries" and r["estimator"] == name]
        slope = np.polyfit(np.log([r["epsilon"] for r in own]), np.log([r["rollouts"] / r["steps"] for r in own]), 1)[0]
        off = max(abs(r["rollouts"] / r["predicted"] - 1) for r in own)
        lines.append(
            f"  {name}: {own[-1]['rollouts']:.3g} returns to a loss of {own[-1]['epsilon']}, slope {slope:.2f} without the "
            f"logarithm, within {off:.0%} of theory"
        )
    for name in (*METHODS, UNIFORM):
        own = [r for r in rows if r["part"] == "double integrator" and r["estimator"] == name]
        near = [r["rollouts"] for r in own if r["median"] is not None and r["median"] < 1.1 * r["optimum"]]
        end, when = own[-1], f"after {near[0]} rollouts" if near else "never"
        lines.append(
            f"  {name}: median within a tenth of {end['optimum']:.7g} {when}; {end['median']} in the end, {end['lost']} lost"
        )
    return "\n".join(lines)


STUDY = study.Study(
    name="zeroth_order",
    question="Are random directions better than scores: policy gradients or random search?",
    columns=COLUMNS,
    settings=settings,
    rows=rows,
    report=report,
)
