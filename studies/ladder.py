"""What each rung of the ladder buys, per sample and per unit of cost, and where folk wisdom fails.

From the returns alone to the derivatives of the model, estimators know ever more, and are held to vary ever less. Here are
22 of them, each with its exact variance, with a measured one, and with the time that a sample takes, on

    scalar                    s_next = .9 s + .5 a + w, a = -.6 s + .5 e, w ~ N(0, .04), reward -(s^2 + .1 a^2), 10 steps
    two double integrators    the workload W1 of the study of throughput: 4 states, 2 actions, 8 parameters, 50 steps
    only actions cost         s_next = 1.2 s + a, a = -.2 s + .2 e, reward -.1 a^2, 5 steps from s = 2: a loop at its margin

On the first two each rung keeps its promise, if one does not count rollouts: mirrored actions hardly help a pathwise
gradient, and cost two. On the third, folk wisdom fails four times over:

    reward to go less J        varies more than the whole return less J
    the value function         is a worse baseline than the mean return to go
    an exact critic            varies more than the return of the path that was sampled: there is nothing random ahead
                               but the actions, which the pathwise gradient sees and which cancel over time
    the mean over all actions  varies more than the derivative at the action that was drawn

What can be known from trajectories alone has a floor (see the study `floor`): the tree bound for all that is unbiased whatever
the environment, the Markov bound for critics fitted to many trajectories. Below it are derivatives of the model, and exact
critics in place of returns, which are oracles. Where nothing is random but the actions, it is 0.

All that is optimal or fitted is so for each parameter; a variance of a problem is the sum over its parameters. Evolution
strategies estimate the gradient of a smoothed objective: their mean is another one. Times are CPU nanoseconds of a sample
measured alone on one thread, moments and fits included, the best of a few; they are noisy, nothing else is.

References
----------
Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in reinforcement learning.
JMLR 5, 1471; Schulman, Moritz, Levine, Jordan and Abbeel (2016), High-dimensional continuous control using generalized
advantage estimation; Ciosek and Whiteson (2018), Expected policy gradients; Tucker et al. (2018), The mirage of
action-dependent baselines in reinforcement learning.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import mcgrad as mg
from mcgrad import baselines as b
from mcgrad import estimators as e
from mcgrad import study
from mcgrad.estimators.estimator import rollouts
from studies import workloads

UNIT = "reparameterization"  # variances are compared with its


class Rung(NamedTuple):
    """An estimator, the one that folk wisdom holds it to improve on, and whether a quick run has it."""

    make: Callable
    improves_on: str | None = None
    quick: bool = False


RUNGS = {
    "evolution strategies": Rung(lambda: e.evolution_strategies(0.1), None, True),
    "score function": Rung(lambda: e.score_function(), None, True),
    "score function, baseline J": Rung(lambda: e.score_function(b.mean_return()), "score function", True),
    "score function, optimal constant": Rung(
        lambda: e.score_function(b.optimal_constant()), "score function, baseline J", True
    ),
    "score function, leave one out": Rung(lambda: e.leave_one_out(4), "score function"),
    "reward to go": Rung(lambda: e.reward_to_go(), "score function", True),
    "reward to go, mirrored actions": Rung(lambda: e.antithetic(e.reward_to_go(), "actions"), "reward to go", True),
    "reward to go, baseline J": Rung(lambda: e.reward_to_go(b.mean_return()), "score function, baseline J", True),
    "reward to go, mean baseline": Rung(lambda: e.reward_to_go(b.mean_to_go()), "reward to go", True),
    "reward to go, optimal over time": Rung(
        lambda: e.reward_to_go(b.optimal_over_time()), "reward to go, mean baseline"
    ),
    "reward to go, value baseline": Rung(lambda: e.reward_to_go(b.value()), "reward to go, mean baseline", True),
    "reward to go, optimal quadratic": Rung(
        lambda: e.reward_to_go(b.optimal_quadratic()), "reward to go, value baseline"
    ),
    "action control variate": Rung(lambda: e.action_control_variate(), "reward to go, value baseline"),
    "generalized advantage, .9": Rung(lambda: e.generalized_advantage(0.9), "reward to go, value baseline"),
    "generalized advantage, 0": Rung(lambda: e.generalized_advantage(0.0), "generalized advantage, .9"),
    "advantage": Rung(lambda: e.advantage(), "generalized advantage, 0", True),
    "all actions": Rung(lambda: e.all_actions(), "value gradient", True),
    "value gradient": Rung(lambda: e.value_gradient(), UNIT, True),
    UNIT: Rung(lambda: e.reparameterization(), "reward to go, value baseline", True),
    "reparameterization, mirrored actions": Rung(lambda: e.antithetic(e.reparameterization(), "actions"), UNIT, True),
    "reparameterization, score control": Rung(lambda: e.control_variate(e.reparameterization(), e.score()), UNIT),
    "reparameterization, mixed with reward to go": Rung(
        lambda: e.mixture(e.reward_to_go(b.value()), e.reparameterization()), UNIT
    ),
}


def scalar():
    """Return the problem that tables of the literature are about, and its theta."""
    environment = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    policy = mg.policies.linear_gaussian(1, 1, std=0.5)
    return mg.Problem(environment, policy, 10), policy.theta([-0.6])


def two_double_integrators():
    """Return the problem of W1, and its theta."""
    workload = workloads.lq_4x2()
    return workload.problem, workload.theta


def only_actions_cost():
    """Return a problem on which folk wisdom fails, and its theta."""
    environment = mg.environments.linear_quadratic(
        [[1.2]], [[1.0]], [[0.0]], [[0.1]], initial_mean=[2.0], initial_cov=[[0.0]]
    )
    policy = mg.policies.linear_gaussian(1, 1, std=0.2)
    return mg.Problem(environment, policy, 5), policy.theta([-0.2])


SYSTEMS = {f.__name__.replace("_", " "): f for f in (scalar, two_double_integrators, only_actions_cost)}


def settings(quick):
    """Return every estimator on every system, on common noise within a system; a quick run has some of both."""
    count, timed = (200_000, 500_000) if quick else (1_000_000, 4_000_000)  # samples; steps of those that are timed
    names = [name for name, rung in RUNGS.items() if rung.quick or not quick]
    found = []
    for k, system in enumerate(SYSTEMS):
        if quick and system == "two double integrators":
            continue
        share = {"count": count, "start": k * count, "timed": timed}
        found += [{"system": system, "estimator": name} | share for name in names]
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting, one for each parameter."""
    name, count = setting["estimator"], setting["count"]
    p, theta = SYSTEMS[setting["system"]]()
    estimator = RUNGS[name].make()
    found = study.measured(p, theta, {name: estimator}, count=count, start=setting["start"], seed=seed, threads=threads)
    about = {"system": setting["system"], "horizon": p.horizon, "improves_on": RUNGS[name].improves_on}
    cost = {
        "rollouts": rollouts(estimator, p),
        "nanoseconds": nanoseconds(p, theta, estimator, setting["timed"] // p.horizon),
    }
    for row in found:
        variance = row.get("variance") if row["exact_variance"] is None else row["exact_variance"]
        row |= cost
        for what in ("rollouts", "nanoseconds"):
            known = variance is not None and cost[what] is not None
            row[f"variance_times_{what}"] = variance * cost[what] if known else None
    return [about | row | floor for row, floor in zip(found, floors(p, theta), strict=True)]


def floors(p, theta):
    """Return the efficiency bounds of each parameter, as columns."""
    bounds = [mg.exact.efficiency_bound(p, theta, model).tolist() for model in ("tree", "markov")]
    return [{"tree_bound": tree, "markov_bound": markov} for tree, markov in zip(*bounds, strict=True)]


def nanoseconds(p, theta, estimator, number, repeats=5):
    """Return the CPU time of one more sample on one thread, in ns; None if it was not, or could not be, measured."""
    if not number:
        return None

    def seconds(count):
        began = time.process_time()
        mg.measure(p, theta, {"": estimator}, count, threads=1, progress=False)
        return time.process_time() - began

    few, many = (min(seconds(count) for _ in range(repeats)) for count in (number, 4 * number))
    # A busy machine can make four times as many look cheaper: then nothing was measured.
    return round(1e9 * (many - few) / (3 * number), 1) if many > few else None


def totals(rows):
    """Return {system: {estimator: (variance, times rollouts, times nanoseconds)}}, sums over parameters; exact if known."""
    found = {}
    for r in rows:
        times = (
            math.nan if r[f"variance_times_{x}"] is None else r[f"variance_times_{x}"]
            for x in ("rollouts", "nanoseconds")
        )
        times = tuple(times)
        new = (times[0] / r["rollouts"], *times)
        old = found.setdefault(r["system"], {}).setdefault(r["estimator"], (0.0, 0.0, 0.0))
        found[r["system"]][r["estimator"]] = tuple(x + y for x, y in zip(old, new, strict=True))
    return found


def report(rows):
    """Return a table in units of reparameterization, the promises that are not kept, and how well exact values agree."""
    total = totals(rows)
    names = list(dict.fromkeys(r["estimator"] for r in rows))
    wide = max(map(len, names))
    head = "".join(f" | {system:^28}" for system in total)
    lines = [
        f"  {'in units of ' + UNIT:<{wide}}{head}",
        f"  {'':<{wide}}" + " | variance  x rollouts   x time" * len(total),
    ]
    for name in names:
        cells = ""
        for found in total.values():
            sole, per_rollout, per_time = (x / y for x, y in zip(found[name], found[UNIT], strict=True))
            cells += f" | {sole:8.4g}  {per_rollout:10.4g} {per_time:8.4g}"
        lines.append(f"  {name:<{wide}}{cells}")
    for r in {(r["system"], r["estimator"]): r for r in rows}.values():
        own, other = (total[r["system"]].get(name) for name in (r["estimator"], r["improves_on"]))
        if other and own[1] > other[1] * (1 + 1e-9):
            excess = f"{own[1] / other[1]:.3g} times {r['improves_on']}"
            lines.append(f"  {r['system']}: {r['estimator']} has, per rollout, {excess}")
    deviation, number = study.worst_deviation(rows)
    return "\n".join([*lines, f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"])


STUDY = study.Study(
    name="ladder",
    question="What does each rung of the ladder buy, per sample and per unit of cost, and where does folk wisdom fail?",
    columns=(
        "system",
        "horizon",
        "improves_on",
        *study.MEASURED,
        "rollouts",
        "nanoseconds",
        "variance_times_rollouts",
        "variance_times_nanoseconds",
        "tree_bound",
        "markov_bound",
    ),
    settings=settings,
    rows=rows,
    report=report,
)
