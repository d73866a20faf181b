"""Does less variance mean faster learning, and by how much?

Stochastic gradient ascent with the estimators of the ladder, many seeds each, on

    scalar LQ                 s_next = .9 s + .5 a + w, from K = 0; J* of the best constant gain is known
    two double integrators    the workload W1, from a fifth of its gain; J* likewise
    unstable start            s_next = 1.2 s + .5 a + w over 20 steps, from K = 0; J* likewise
    corridor                  Sutton and Barto's, example 13.1, from p(right) = .1; J* = -11.66
    cart-pole                 200 steps, from a policy that pushes at random; J* <= 200, and is reached
    pendulum                  Gymnasium's, 100 steps from near upright, from no torque; J* is not known, J is

Curves: Adam (decay .9 and .99) in batches of 16 trajectories. A rate is chosen among seven (.03 to 1, evenly in the logarithm)
for each estimator *and each budget*: the one with the best median of J* - J among 9 seeds. What is reported are quantiles over
40 other seeds at that rate. So each estimator may take the steps that its variance allows, and nothing that is reported has
chosen anything. A lost seed (an iterate that is not finite) is the worst of all.

Plateau: plain ascent theta + alpha g on the scalar problem, all estimators at the same rate, from the optimum on. With the
gradient b - H theta and the variance V of one gradient the loss tends to

    J* - E J = alpha V / (4 batch) (1 - (1 - alpha H)^(2 k)) -> alpha V / (4 batch)

to first order in alpha: the loss in the end is proportional to the variance. To end at a loss of epsilon one takes alpha = 4
batch epsilon / V, and 1 / (alpha H) steps to get there: trajectories in proportion to V / epsilon. But a rate is bounded by the
curvature, too: an estimator that varies little gains no more once that binds. And far from the optimum what counts is not the
variance at the end but that on the way.

References
----------
Sutton and Barto (2018), Reinforcement learning: an introduction, section 13.3; Kingma and Ba (2015), Adam; Polyak and Juditsky
(1992), Acceleration of stochastic approximation by averaging (what a constant rate leaves).
"""

import math
import warnings

import numpy as np

import mcgrad as mg
from mcgrad import baselines as b
from mcgrad import estimators as e
from mcgrad import study
from studies import problems

BATCH = 16
DECAY = 0.9, 0.99
TUNING = 9  # seeds that choose the rate, and are not reported
RATES = tuple(float(f"{x:.2g}") for x in np.geomspace(0.03, 1.0, 7))
PLATEAU = {"rate": 1e-3, "batch": 64}
COLUMNS = (
    *("part", "problem", "estimator", "rate", "batch", "step", "trajectories", "nanoseconds"),
    *("low", "median", "high", "seeds", "lost", "optimum", "stderr", "exact_variance", "predicted"),
)
CORRIDOR = -11.656854249492381  # J at p = 2 - sqrt 2


def scalar(A=0.9, horizon=10):
    """Return a scalar problem and where it starts."""
    environment = mg.environments.linear_quadratic([[A]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), horizon), np.zeros(1)


def two_double_integrators():
    """Return W1 and a fifth of its gain."""
    problem, theta = problems.two_double_integrators()
    return problem, 0.2 * np.asarray(theta)


def corridor():
    """Return the corridor and the theta at which p(right) is .1; all but one in a hundred episodes end within the horizon."""
    policy = mg.policies.linear_softmax(mg.environments.corridor_features())
    return mg.Problem(mg.environments.short_corridor(), policy, 200), np.array([0.5, -0.5]) * math.log(0.9 / 0.1)


def cart_pole():
    """Return the cart-pole and a policy that pushes at random."""
    return mg.Problem(mg.environments.cart_pole(), mg.policies.softmax_of_state(lambda s: s, 4, 2), 200), np.zeros(8)


def pendulum():
    """Return Pendulum-v1 from near upright, and no torque but noise."""
    environment = mg.environments.pendulum(initial_angle=0.3, initial_speed=0.3)
    return mg.Problem(environment, mg.policies.linear_gaussian(2, 1, std=0.5), 100), np.zeros(2)


# Problem -> how to make it, J* where it is known otherwise than from `exact`, and steps of a default run.
PROBLEMS = {
    "scalar LQ": (scalar, None, 150),
    "two double integrators": (two_double_integrators, None, 150),
    "unstable start": (lambda: scalar(1.2, 20), None, 150),
    "corridor": (corridor, CORRIDOR, 150),
    "cart-pole": (cart_pole, 200.0, 150),
    "pendulum": (pendulum, 0.0, 150),
}
ESTIMATORS = {
    "score function": e.score_function,
    "reward to go": e.reward_to_go,
    "score function, leave one out": lambda: e.leave_one_out(BATCH),
    "reward to go, value baseline": lambda: e.reward_to_go(b.value()),
    "reparameterization": e.reparameterization,
}
DISCRETE = ("corridor", "cart-pole")


def chosen(problem):
    """Return {name: estimator} for a problem."""
    found = {name: make() for name, make in ESTIMATORS.items()}
    if problem in DISCRETE:
        del found["reparameterization"]
    if problem in ("cart-pole", "pendulum"):  # nobody knows the value function
        del found["reward to go, value baseline"]
    return found


def settings(quick):
    """Return a setting for each curve and for each plateau; a quick run has two problems, few seeds and steps."""
    seeds, share = (5, 0.15) if quick else (40, 1.0)  # seeds that are reported
    names = ("scalar LQ", "corridor") if quick else tuple(PROBLEMS)
    found, curves = [], []
    for name in names:
        steps = round(PROBLEMS[name][2] * share)
        for estimator in chosen(name):
            if not (quick and estimator.endswith(("value baseline", "leave one out"))):
                one = {"part": "curve", "problem": name, "estimator": estimator, "steps": steps, "seeds": seeds}
                curves.append(one | ({"rates": RATES[::3]} if quick else {}))
    steps, seeds = (300, 10) if quick else (800, 20)
    for estimator in PLATEAUS:
        if not (quick and estimator.endswith("baseline")):
            found.append(
                {"part": "plateau", "problem": "scalar LQ", "estimator": estimator, "steps": steps, "seeds": seeds}
            )
    return found + curves


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    make = {"curve": curve, "plateau": plateau}[setting["part"]]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "of [0-9]+ seeds", UserWarning)  # they are counted in the rows
        found = make(setting, 1_000_000 * seed, threads)
    same = {key: setting[key] for key in ("part", "problem", "estimator")}
    return [same | row for row in found]


# ---- curves ------------------------------------------------------------------------------------------------------


def curve(setting, first, threads):
    """Return a row for each recorded step: quantiles of J* - J at the rate that other seeds found best for that budget."""
    make, known, _ = PROBLEMS[setting["problem"]]
    problem, start = make()
    estimator = chosen(setting["problem"])[setting["estimator"]]
    groups = 1 if setting["estimator"].endswith("leave one out") else BATCH  # a group is one sample
    options = {"record": recorded(setting["steps"]), "threads": threads, "judged": 400, "progress": False}

    def ascend(rate, seeds):
        optimizer = mg.optimizers.adam(rate, *DECAY)
        return mg.ascend(
            problem, start, estimator, groups, setting["steps"], optimizer=optimizer, seeds=seeds, **options
        )

    seeds = [first + k for k in range(TUNING + setting["seeds"])]
    rates = setting.get("rates", RATES)
    tried = {rate: ascend(rate, seeds[:TUNING]) for rate in rates}
    optimum = tried[rates[0]].optimum if known is None else known
    gaps = {rate: x.gap(optimum) for rate, x in tried.items()}
    best = [min(rates, key=lambda r: (middle(gaps[r][:, k]), r)) for k in range(len(options["record"]))]
    found = {rate: ascend(rate, seeds[TUNING:]) for rate in sorted(set(best))}
    ns = mg.cost(problem, start, {"g": estimator})["g"] * groups / BATCH
    lines = []
    for k, rate in enumerate(best):
        one = found[rate]
        low, median, high = quantiles(one.gap(optimum)[:, k])
        line = {
            **{"rate": rate, "batch": BATCH, "step": int(one.steps[k]), "trajectories": int(one.rollouts[k])},
            **{"nanoseconds": ns, "low": low, "median": median, "high": high},
            **{"seeds": setting["seeds"], "lost": int((one.lost >= 0).sum()), "optimum": optimum},
        }
        lines.append({key: rounded(x) for key, x in line.items()})
    return lines


def recorded(steps):
    """Return the steps that are judged: all of the first, then ever fewer."""
    return sorted({0, *np.rint(np.geomspace(1, steps, 18)).astype(int).tolist()})


def quantiles(values):
    """Return the tenth, the median and the ninetieth percentile, each a value of the sample."""
    return np.sort(values)[np.rint(np.array([0.1, 0.5, 0.9]) * (len(values) - 1)).astype(int)]


def middle(values):
    """Return the median, a value of the sample."""
    return float(quantiles(values)[1])


def rounded(x):
    """Return six digits of a float: a CSV file should be small."""
    return float(f"{x:.6g}") if isinstance(x, float) and math.isfinite(x) else None if isinstance(x, float) else x


# ---- the plateau -------------------------------------------------------------------------------------------------

PLATEAUS = {
    "score function": e.score_function,
    "reward to go": e.reward_to_go,
    "reward to go, mirrored actions": lambda: e.antithetic(e.reward_to_go(), "actions"),
    "reward to go, value baseline": lambda: e.reward_to_go(b.value()),
    "reparameterization": e.reparameterization,
    "reparameterization, mirrored actions": lambda: e.antithetic(e.reparameterization(), "actions"),
}


def plateau(setting, first, threads):
    """Return one row: the mean loss of plain ascent in its second half, and what theory says of it."""
    problem, _ = scalar()
    best = mg.exact.optimum(problem, [-1.0])
    K, J = best.gain.ravel(), best.objective
    estimator = PLATEAUS[setting["estimator"]]()
    rate, batch, steps = *PLATEAU.values(), setting["steps"]
    seeds = [first + k for k in range(setting["seeds"])]
    at = np.unique(np.linspace(steps // 2, steps, 20).astype(int))
    options = {"optimizer": mg.optimizers.sgd(rate), "seeds": seeds, "record": at.tolist(), "threads": threads}
    found = mg.ascend(problem, K, estimator, batch, steps, progress=False, **options)
    gap = found.gap(J).mean(axis=1)  # of each seed: those of its steps hang together
    V, H = float(mg.exact.variance(problem, K, estimator)[0]), -float(mg.exact.hessian(problem, K)[0, 0])
    return [
        {
            **{
                "rate": rate,
                "batch": batch,
                "step": steps,
                "trajectories": int(found.rollouts[-1]),
                "seeds": len(seeds),
            },
            **{
                "median": float(gap.mean()),
                "stderr": float(gap.std(ddof=1) / math.sqrt(len(gap))),
                "optimum": float(J),
            },
            **{"exact_variance": V, "predicted": loss(rate, V, H, batch, at), "lost": found.nonfinite},
        }
    ]


def loss(rate, V, H, batch, steps):
    """Return the mean over steps of J* - E J, from the optimum on: alpha V / (4 batch) in the end, to first order in alpha.

    On a parabola it is H Var / 2 with Var_{k+1} = (1 - alpha H)^2 Var_k + alpha^2 V / batch.
    """
    shrink = (1.0 - rate * H) ** 2
    return float(np.mean(0.5 * H * rate**2 * V / batch * (1.0 - shrink ** np.asarray(steps)) / (1.0 - shrink)))


# ---- the answer --------------------------------------------------------------------------------------------------


def needed(curve, target):
    """Return how many trajectories a curve (rows in order) takes until its median is below a target; infinity if it never is.

    Between recorded steps both are interpolated by their logarithms.
    """
    above = None
    for row in curve:
        median = math.inf if row["median"] is None else row["median"]
        if median <= target:
            if above is None or not row["trajectories"]:
                return float(row["trajectories"])
            (x0, y0), (x1, y1) = above, (row["trajectories"], median)
            if not (x0 and math.isfinite(y0)):
                return float(x1)
            share = 1.0 if y1 <= 0.0 else math.log(y0 / target) / math.log(y0 / y1)
            return float(x0 * (x1 / x0) ** share)
        above = row["trajectories"], median
    return math.inf


def report(rows):
    """Return what each estimator needs to come within a twentieth of the way, and how losses in the end follow theory."""
    lines = []
    curves = {}
    for row in rows:
        if row["part"] == "curve":
            curves.setdefault(row["problem"], {}).setdefault(row["estimator"], []).append(row)
    for problem, of in curves.items():
        first = next(iter(of.values()))[0]["median"]
        takes = {name: needed(curve, first / 20) for name, curve in of.items()}
        words = ", ".join(f"{name} {x:.3g}" for name, x in takes.items())
        lines.append(f"  {problem}: trajectories until J* - J is a twentieth of what it was: {words}")
    for row in rows:
        if row["part"] == "plateau":
            lines.append(
                f"  plain ascent, {row['estimator']}: loss in the end {row['median']:.3g} +- {row['stderr']:.1g}, "
                f"theory {row['predicted']:.3g} (V = {row['exact_variance']:.4g})"
            )
    return "\n".join(lines)


STUDY = study.Study(
    name="learning",
    question="Does less variance mean faster learning, and by how much?",
    columns=COLUMNS,
    settings=settings,
    rows=rows,
    report=report,
)
