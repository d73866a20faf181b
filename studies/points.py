"""What points that are spread evenly buy: Latin hypercubes and Sobol points in place of random noise.

The standard error of the gradient from N trajectories of one design, for N from 4 on, in a scalar linear-quadratic problem,
s_next = .9 s + .5 a + w, a = -.6 s + .5 e, w ~ N(0, .04), s_0 ~ N(0, 1), reward -(s^2 + .1 a^2), over 1 step and over 10:

    random             N independent trajectories, exactly and measured
    mirrored actions   N / 2 pairs of trajectories whose actions have opposite noise, exactly and measured
    Latin hypercube    N points, each coordinate stratified
    Sobol              N scrambled points of a sequence that fills the cube evenly

The first two fall as N^-1/2, and a Latin hypercube in the end, too, with what is not a sum of functions of single
coordinates (Stein 1987). Sobol points fall as N^-3/2, up to logarithms, if a gradient is smooth and depends on a few numbers
(Owen 1997): that of one step depends on two, that of ten steps on twenty. What is measured is the spread of the estimate
itself, over independent randomisations of the points, hundreds for each N.

References
----------
Stein (1987), Large sample properties of simulations using Latin hypercube sampling; Owen (1997), Scrambled net variance for
integrals of smooth functions; Buchholz, Wenzel and Mandt (2018), Quasi-Monte Carlo variational inference.
"""

import math

import mcgrad as mg
from mcgrad import study
from mcgrad.estimators.estimator import rollouts

HORIZONS = (1, 10)
POINTS = {"Latin hypercube": mg.designs.latin_hypercube, "Sobol": mg.designs.sobol}
DESIGNS = ("random", "mirrored actions", *POINTS)
COLUMNS = ("horizon", "design", "trajectories", *study.MEASURED, "exact_error", "error", "error_stderr")


def problem(horizon):
    """Return (problem, theta) over a horizon."""
    environment = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    policy = mg.policies.linear_gaussian(1, 1, std=0.5)
    return mg.Problem(environment, policy, horizon), policy.theta([-0.6])


def estimators(design):
    """Return the estimators, by name; in pairs, if actions are mirrored."""
    plain = {
        "score function": mg.estimators.score_function(),
        "reward to go, value baseline": mg.estimators.reward_to_go(mg.baselines.value()),
        "reparameterization": mg.estimators.reparameterization(),
    }
    if design != "mirrored actions":
        return plain
    return {name: mg.estimators.antithetic(e, "actions") for name, e in plain.items()}


def sizes(quick):
    """Return the numbers of trajectories of an estimate."""
    return [4**k for k in range(1, 6 if quick else 8)]


def settings(quick):
    """Return designs of each size; random trajectories, and pairs of them, are measured once for all sizes."""
    replicates, count = (100, 50_000) if quick else (500, 1_000_000)
    found = []
    for horizon in HORIZONS:
        for design in DESIGNS:
            at_once = [sizes(quick)] if design not in POINTS else [[n] for n in sizes(quick)]
            for n in at_once:
                samples = replicates * n[0] if design in POINTS else count
                found.append({"horizon": horizon, "design": design, "trajectories": n, "count": samples, "start": 0})
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting: `variance` is that of the mean over so many trajectories, `error` its root."""
    design, horizon = setting["design"], setting["horizon"]
    p, theta = problem(horizon)
    found = []
    for n in setting["trajectories"]:
        about = {"horizon": horizon, "design": design, "trajectories": n}
        found += [about | row for row in measured(p, theta, design, n, setting, seed, threads)]
    return found


def measured(p, theta, design, n, setting, seed, threads):
    """Yield a row for each estimator."""
    points = POINTS[design](n) if design in POINTS else None
    count, chosen, found = setting["count"], estimators(design), None
    if count:
        options = {"start": setting["start"], "design": points, "threads": threads, "progress": False}
        found = mg.measure(p, theta, chosen, count, seed, **options)
    for name, estimator in chosen.items():
        row = {"estimator": name, "parameter": p.parameters[0], "count": 0, "exact_variance": None}
        row["exact_mean"] = mg.exact.mean(p, theta, estimator)[0]
        if points is None:
            row["exact_variance"] = mg.exact.variance(p, theta, estimator)[0] * rollouts(estimator, p) / n
            row["exact_error"] = math.sqrt(row["exact_variance"])
        if found:
            x = found[name]
            share = x.rollouts / n  # what is measured is one sample; that of a design is the whole estimate
            row |= {key: float(getattr(x, key)[0]) for key in study.MOMENTS}
            row |= {"count": x.count, "start": setting["start"], "nonfinite": x.nonfinite}
            row["variance"], row["variance_stderr"] = share * row["variance"], share * row["variance_stderr"]
            row["error"] = math.sqrt(row["variance"])
            row["error_stderr"] = row["variance_stderr"] / (2 * row["error"])
        yield row


def error(row):
    """Return the standard error of an estimate, exact where that is known."""
    return row["error"] if row.get("exact_error") is None else row["exact_error"]


def report(rows):
    """Return what designs buy at most trajectories, and how fast their errors fall."""
    at = {(r["horizon"], r["estimator"], r["design"], r["trajectories"]): error(r) for r in rows}
    most = max(r["trajectories"] for r in rows)
    lines = [
        f"  standard error of random over that of a design at N = {most}, and its slope over the last factor of 16:"
    ]
    for horizon, name in dict.fromkeys((r["horizon"], r["estimator"]) for r in rows):
        here = {design: [at[horizon, name, design, n] for n in (most // 16, most)] for design in DESIGNS}
        cells = (
            f"{design} {here['random'][1] / last:.3g} (N^{math.log(last / first, 16):.2f})"
            for design, (first, last) in here.items()
            if design != "random"
        )
        lines.append(f"  T = {horizon}, {name}: {', '.join(cells)}")
    # Random trajectories are measured once for all sizes.
    deviation, number = study.worst_deviation([r for r in rows if r["trajectories"] == most])
    return "\n".join([*lines, f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"])


STUDY = study.Study(
    name="points",
    question="What do Latin hypercubes and Sobol points buy in place of random noise?",
    columns=COLUMNS,
    settings=settings,
    rows=rows,
    report=report,
)
