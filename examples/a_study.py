"""A study of your own: where does a derivative stop to help?

The variance of a score function falls with the noise of the policy, as 1 / std^2, until that noise is most of the return; that
of a pathwise gradient grows. `mcgrad study examples/a_study.py` runs it, `mcgrad figure examples/a_study.py` draws it.
"""

import mcgrad as mg
from mcgrad import study

ESTIMATORS = {
    "reward to go": mg.estimators.reward_to_go(),
    "reward to go, exact value": mg.estimators.reward_to_go(mg.baselines.value()),
    "reparameterization": mg.estimators.reparameterization(),
}


def settings(quick):
    """Return what is varied; each setting has trajectories of its own, from number `start` on."""
    count, stds = (100_000, (0.1, 1.0)) if quick else (500_000, (0.03, 0.1, 0.3, 1.0, 3.0))
    return [{"std": std, "count": count, "start": k * count} for k, std in enumerate(stds)]


def rows(setting, seed, threads):
    """Return the rows of one setting: exact values, and measured ones with their errors."""
    spring = mg.environments.linear_quadratic(
        [[1.0, 0.1], [-0.1, 0.95]], [[0.0], [0.1]], [[1.0, 0.0], [0.0, 0.1]], [[0.01]], initial_cov=[[1.0, 0], [0, 0.1]]
    )
    problem = mg.Problem(spring, mg.policies.linear_gaussian(2, 1, std=setting["std"]), horizon=30)
    options = {"count": setting["count"], "start": setting["start"], "seed": seed, "threads": threads}
    return [{"std": setting["std"]} | row for row in study.measured(problem, [-1.0, -0.5], ESTIMATORS, **options)]


def report(rows):
    """Return the answer in a line."""
    deviation, number = study.worst_deviation(rows)
    return f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"


STUDY = study.Study(
    name="a_study",
    question="Where does a derivative stop to help?",
    columns=("std", *study.MEASURED),
    settings=settings,
    rows=rows,
    report=report,
)


def draw(rows, about):
    """Return a matplotlib figure of the table: lines exact, points measured."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    one = rows[rows["parameter"] == rows["parameter"].iloc[0]]
    for marker, (name, part) in zip("sv^", one.groupby("estimator", sort=False), strict=True):
        (line,) = axis.plot(part["std"], part["exact_variance"], label=name)
        bars = {"fmt": marker, "color": line.get_color(), "markersize": 4}
        axis.errorbar(part["std"], part["variance"], part["variance_stderr"], **bars)
    axis.set(xscale="log", yscale="log", xlabel="std of the policy", ylabel="variance of one trajectory's gradient")
    axis.legend(frameon=False)
    return figure
