"""Where the parameter is: in the probability of a trajectory, or in the trajectory (study: two_views)."""

import numpy as np
from matplotlib.lines import Line2D

from figures import style

STUDY = "two_views"
MESSAGE = "A trajectory holds no parameter: either its probability moves, or, at fixed noise, it moves itself"
SCORE, PATH = "score function", "reparameterization"
WIDEST = 0.016  # of a return: half the width of a trajectory that is as probable as at the start


def draw(results):
    """Return the figure."""
    rows = results.rows
    paths, samples = rows[rows["part"] == "paths"], rows[rows["part"] == "samples"]
    figure, axes = style.frame(3, 2.8, MESSAGE, describe(paths, samples, results.about), ())
    figure.subplots_adjust(wspace=0.24)
    curves = paths[paths["trajectory"] == 0].sort_values("theta")
    at = samples["theta"].iloc[0]
    for axis, column in zip(axes, ("fixed_return", "moved_return"), strict=False):
        for _, one in paths.groupby("trajectory"):
            one = one.sort_values("theta")
            if column == "fixed_return":
                weighted(axis, one)
            else:
                axis.plot(one["theta"], one[column], color=style.look(PATH).colour, linewidth=1.1, alpha=0.75, zorder=2)
                here = one.iloc[(one["theta"] - at).abs().argmin()]
                axis.plot(here["theta"], here[column], zorder=3, **style.point(PATH))
        axis.plot(curves["theta"], curves["exact_objective"], color=style.INK, linewidth=2.0, zorder=4)
        axis.axvline(at, color=style.QUIET, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
        axis.set(xlabel=r"parameter $\theta$", xlim=(paths["theta"].min(), paths["theta"].max()), ylim=(-4.4, -1.1))
    axes[0].set_ylabel("return")
    gradients(axes[2], samples)
    legend(figure)
    style.finish(figure, axes, ("trajectory fixed, probability moves", "noise fixed, trajectory moves", "their slopes"))
    return figure


def weighted(axis, one):
    """Draw the return of a fixed trajectory, as wide as its probability is over that at the start."""
    x, y = one["theta"].to_numpy(), one["fixed_return"].to_numpy()
    half = WIDEST * np.minimum(one["ratio"].to_numpy(), 4.0)
    axis.fill_between(x, y - half, y + half, color=style.look(SCORE).colour, linewidth=0, alpha=0.8, zorder=2)


def gradients(axis, samples):
    """Draw the gradients of single trajectories, and their exact mean and standard deviations."""
    exact, generator = samples["exact_gradient"].iloc[0], np.random.default_rng(0)
    for y, name, column in ((1.0, SCORE, "score"), (0.0, PATH, "path")):
        x, spread = samples[column], samples[f"{column}_variance"].iloc[0] ** 0.5
        jitter = y + 0.22 * generator.uniform(-1, 1, len(x))
        axis.plot(
            x, jitter, ".", color=style.look(name).colour, markersize=2.6, alpha=0.55, markeredgewidth=0, zorder=2
        )
        axis.plot([exact - spread, exact + spread], [y - 0.34] * 2, color=style.INK, linewidth=2.0, zorder=3)
        axis.annotate(
            f"std {style.number(spread, 3)}",
            (exact + spread, y - 0.34),
            (5, 0),
            textcoords="offset points",
            size=8,
            va="center",
        )
    axis.axvline(exact, color=style.QUIET, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
    axis.set_yticks([1.0, 0.0], ["score\nfunction", "path-\nwise"])
    axis.set(xlabel="gradient from one trajectory", xlim=(-42, 42), ylim=(-0.55, 1.4))
    axis.tick_params(axis="y", length=0)


def legend(figure):
    """Explain lines and points."""
    score, path = style.look(SCORE).colour, style.look(PATH).colour
    handles = [
        Line2D([], [], color=style.INK, linewidth=2.0, label="mean return J (exact)"),
        Line2D([], [], color=score, linewidth=1.8, label="R of a trajectory, as wide as it is probable"),
        Line2D([], [], color=path, linewidth=1.2, label="R of a trajectory at fixed noise", **style.point(PATH)),
    ]
    style.legend(figure, handles)


def describe(paths, samples, about):
    """Return the caption; every number in it comes from the results."""
    n, first = style.number, samples.iloc[0]
    outside = (samples["score"].abs() > 42).sum()
    return (
        f"Scalar linear-quadratic problem, ten steps from a fixed state; {paths['trajectory'].nunique()} trajectories "
        f"that were "
        f"drawn at $\\theta$~=~{n(first['theta'])} (dotted). (a)~A trajectory that has happened keeps its return: the "
        f"lines are "
        "flat, and there is no reward gradient. What changes is how probable it is: where $\\theta$ makes trajectories of "
        "high return "
        "more probable, the mean return rises. (b)~The same trajectories as functions of their noise: now each return has "
        "a "
        f"slope. (c)~The slopes at $\\theta$~=~{n(first['theta'])}, return times that of the log-probability and slope of "
        f"the return, of {len(samples)} trajectories{style.remark(about)}: both have the mean "
        f"{n(first['exact_gradient'], 4)} "
        f"(dotted, exact), and standard deviations (bars, exact) whose squares are {n(first['score_variance'])} and "
        f"{n(first['path_variance'])}. Outside the panel: {outside} of them."
    )
