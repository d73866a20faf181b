"""A study of your own: change it, then run `mcgrad study` on this file, and `mcgrad figure` for its figure.

How does the variance of two estimators grow with the horizon? A study lists its settings (plain dicts) and turns each into rows
of a table. An interrupted study goes on where it stopped; what was computed by another version of this file is computed anew.
"""

from typing import Any

import mcgrad as mg
from mcgrad import study


def problem(horizon: int) -> tuple[mg.Problem, Any]:
    """Return (problem, theta): s_next = .9 s + .5 a + w, a = -.6 s + .5 e. Yours may be any `mg.Environment`."""
    environment = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    policy = mg.policies.linear_gaussian(1, 1, std=0.5)
    return mg.Problem(environment, policy, horizon), policy.theta([-0.6])


ESTIMATORS = {
    "reward to go": mg.estimators.reward_to_go(),
    "reparameterization": mg.estimators.reparameterization(),
}


def settings(quick: bool) -> list[dict[str, Any]]:
    """Return what is varied; each setting has trajectories of its own, from number `start` on."""
    count = 20_000 if quick else 1_000_000
    horizons = (1, 2, 5, 10, 20) if quick else (1, 2, 5, 10, 20, 50, 100)
    return [{"horizon": T, "count": count, "start": k * count} for k, T in enumerate(horizons)]


def rows(setting: dict[str, Any], seed: int, threads: int | None) -> list[dict[str, Any]]:
    """Return the rows of one setting: exact values where there are some, and measured ones with their errors."""
    p, theta = problem(setting["horizon"])
    options = {"count": setting["count"], "start": setting["start"], "seed": seed, "threads": threads}
    return [{"horizon": setting["horizon"]} | row for row in study.measured(p, theta, ESTIMATORS, **options)]


def report(rows: list[dict[str, Any]]) -> str:
    """Return the answer in a line or two."""
    longest = max(row["horizon"] for row in rows)
    last = {row["estimator"]: row["variance"] for row in rows if row["horizon"] == longest}
    ratio = last["reward to go"] / last["reparameterization"]
    deviation, number = study.worst_deviation(rows)
    return (
        f"  at T = {longest} reward to go has {ratio:.3g} times the variance of reparameterization\n"
        f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"
    )


STUDY = study.Study(
    name="my_study",
    question="How does the variance of two estimators grow with the horizon?",
    columns=("horizon", *study.MEASURED),
    settings=settings,
    rows=rows,
    report=report,
)


# Without this function `mcgrad figure` draws one of its own: variances over the setting that varies most.
def draw(rows: Any, about: Any) -> Any:
    """Return a matplotlib figure. rows: the table as a pandas DataFrame; about: where it comes from."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    for marker, (name, part) in zip("sv", rows.groupby("estimator", sort=False), strict=True):
        (line,) = axis.plot(part["horizon"], part["exact_variance"], label=name)
        bars = {"fmt": marker, "color": line.get_color(), "markersize": 4}
        axis.errorbar(part["horizon"], part["variance"], part["variance_stderr"], **bars)
    axis.set(xscale="log", yscale="log", xlabel="horizon T", ylabel="variance of one trajectory's gradient")
    axis.legend(frameon=False, title=f"lines exact, points measured on {rows['count'].max()}")
    return figure
