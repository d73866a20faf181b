"""Which estimator has the least variance on three costs of one action: no ranking holds everywhere (Mohamed et al. 2020).

    x ~ N(mean, std), mean = std = 1, gradients of E f(x) in both, one sample each:

    f(x) = (x - k)^2, exp(-k x^2), cos(k x)     their Figures 2 and 3: score function, with its optimal baseline, pathwise,
                                                and measure-valued with coupling, against k
    f(x) = 100, f(x) = sum_d x_d                their Figure 4: what dimension does to the score function, gradient in std,
                                                x_d ~ N(1/2, std), averaged over d

The paper's curves are numerical integrals; here they are closed forms, and every fourth point is measured. The baseline of
least variance is another one for each parameter, as theirs is. The usual one, the mean of f, is missing from their figures:
for exp(-10 x^2) it multiplies the variance of the gradient in std by 4.3.

References
----------
Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning. JMLR 21, 132: Figures 2 to 4.
"""

import numpy as np
from scipy.optimize import brentq

import mcgrad as mg
from mcgrad import baselines as b
from mcgrad import estimators as e
from mcgrad import study

COSTS = {
    "quadratic": (mg.environments.quadratic_cost, np.linspace(-3.0, 3.0, 25)),
    "exponential": (mg.environments.exponential_cost, np.geomspace(0.1, 10.0, 21).round(6)),
    "cosine": (mg.environments.cosine_cost, np.geomspace(0.5, 5.0, 21).round(6)),
}
EVERY = 4  # one of so many values of k is measured
NAMES = {
    "score function": lambda: e.score_function(),
    "score function, baseline J": lambda: e.score_function(b.mean_return()),
    "score function, optimal constant": lambda: e.score_function(b.optimal_constant()),
    "measure-valued": lambda: e.measure_valued(),
    "reparameterization": lambda: e.reparameterization(),
}
SCORE, MEAN, BEST, MEASURE, PATH = NAMES
# Where two variances are equal: cost, parameter, two estimators, between which k.
CROSSINGS = (
    ("quadratic", "mean", PATH, MEASURE, -2.0, 0.0),
    ("quadratic", "mean", PATH, MEASURE, 2.0, 3.0),
    ("exponential", "mean", PATH, SCORE, 0.2, 5.0),
    ("exponential", "mean", PATH, BEST, 0.2, 5.0),
    ("exponential", "std", PATH, SCORE, 0.2, 5.0),
    ("exponential", "std", PATH, BEST, 0.2, 5.0),
    ("exponential", "std", MEASURE, BEST, 0.2, 5.0),
    ("cosine", "mean", PATH, SCORE, 0.6, 1.5),
    ("cosine", "std", PATH, SCORE, 0.6, 1.5),
)
DIMENSIONS = (1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100)
MEASURED_DIMENSIONS = {True: (1, 3), False: (1, 3, 10, 30)}  # of a quick run, and of others
STDS = (0.3, 1.0, 3.0)


def problem(cost, k):
    """Return (problem, theta) for a cost of one action."""
    policy = mg.policies.gaussian(1)
    return mg.Problem(COSTS[cost][0](k), policy, 1), policy.theta([1.0, 1.0])


def of_dimension(cost, D, std):
    """Return (problem, theta) of Figure 4."""
    environment = mg.environments.constant_cost(D) if cost == "constant" else mg.environments.sum_cost(D)
    policy = mg.policies.gaussian(D)
    return mg.Problem(environment, policy, 1), policy.theta([0.5] * D + [std] * D)


def settings(quick):
    """Return the costs over k, where curves cross, and dimensions; all on the same noise, as they are not compared."""
    count = 100_000 if quick else 1_000_000
    found = []
    for cost, (_, grid) in COSTS.items():
        for i, k in enumerate(grid.tolist()):
            found.append({"part": "cost", "cost": cost, "k": k, "count": 0 if i % EVERY else count})
    # Where the coupled measure-valued derivative in the mean has no variance.
    found += [{"part": "cost", "cost": "cosine", "k": x * np.pi, "count": 0} for x in (0.97, 0.99, 1.0, 1.01, 1.03)]
    found += [{"part": "crossing", "number": i} for i in range(len(CROSSINGS))]
    for cost in ("constant", "sum"):
        for std in STDS:
            for D in DIMENSIONS:
                number = count if D in MEASURED_DIMENSIONS[quick] else 0
                found.append({"part": "dimension", "cost": cost, "std": std, "D": D, "count": number})
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    if setting["part"] == "crossing":
        return [crossing(*CROSSINGS[setting["number"]])]
    about = {key: setting[key] for key in ("part", "cost")}
    options = {"count": setting["count"], "seed": seed, "threads": threads}
    if setting["part"] == "cost":
        p, theta = problem(setting["cost"], setting["k"])
        found = study.measured(p, theta, {name: make() for name, make in NAMES.items()}, **options)
        about |= {"k": setting["k"], "std": 1.0, "dimension": 1}
    else:
        p, theta = of_dimension(setting["cost"], setting["D"], setting["std"])
        found = [averaged(study.measured(p, theta, {SCORE: NAMES[SCORE]()}, **options)[setting["D"] :])]
        about |= {"std": setting["std"], "dimension": setting["D"]}
    return [
        about | {key: row.get(key) for key in KEPT} | {"parameter": row["parameter"].split("[")[0]} for row in found
    ]


def averaged(rows):
    """Return one row for the parameters of a symmetric problem: means, and for standard errors of variances a bound.

    Errors of different parameters are not independent; their mean is an upper bound of that of the mean.
    """
    known = [key for key in KEPT if isinstance(rows[0].get(key), float)]
    return rows[0] | {key: float(np.mean([row[key] for row in rows])) for key in known}


def crossing(cost, parameter, first, second, low, high):
    """Return a row with the k at which two exact variances are equal."""

    def variances(k):
        p, theta = problem(cost, k)
        index = p.parameters.index(f"{parameter}[0]")
        return [float(mg.exact.variance(p, theta, NAMES[name]())[index]) for name in (first, second)]

    k = float(brentq(lambda k: np.log(np.divide(*variances(k))), low, high, xtol=1e-10))
    variance = variances(k)[0]
    return {
        "part": "crossing",
        "cost": cost,
        "k": k,
        "estimator": first,
        "equals": second,
        "parameter": parameter,
        "exact_variance": variance,
    }


def report(rows):
    """Return where curves cross, the worst that the mean as a baseline does, and how exact and measured values agree."""
    lines = [
        f"  {r['cost']}, gradient in {r['parameter']}: {r['estimator']} = {r['equals']} at k = {r['k']:.4f}"
        for r in rows
        if r["part"] == "crossing"
    ]
    at = {(r["cost"], r["k"], r["parameter"], r["estimator"]): r["exact_variance"] for r in rows if r["part"] == "cost"}
    worst = max((at[key] / at[(*key[:3], SCORE)], key) for key in at if key[3] == MEAN)
    lines.append(f"  the mean as a baseline multiplies the variance by up to {worst[0]:.2f}: {worst[1][:3]}")
    deviation, number = study.worst_deviation([r for r in rows if r["part"] != "crossing"])
    return "\n".join([*lines, f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"])


KEPT = (
    "estimator",
    "parameter",
    "exact_mean",
    "exact_variance",
    "count",
    "mean",
    "stderr",
    "variance",
    "variance_stderr",
)
STUDY = study.Study(
    name="mohamed_2020",
    question="Which estimator has the least variance on three costs of one action (Mohamed et al. 2020, Figures 2 to 4)?",
    columns=("part", "cost", "k", "std", "dimension", *KEPT, "equals"),
    settings=settings,
    rows=rows,
    report=report,
)
