"""What Latin hypercubes and Sobol points buy in place of random noise (study: points)."""

import numpy as np
from matplotlib.lines import Line2D

from figures import style

STUDY = "points"
NAMES = ("score function", "reward to go, value baseline", "reparameterization")
MESSAGE = "With Sobol points the error of a pathwise gradient falls about as 1/N, that of a score function less fast"
LOOK = {
    "random": style.Look("#757575", "o", ()),
    "mirrored actions": style.Look("#e69f00", "s", (6, 1.5)),
    "Latin hypercube": style.Look("#009e73", "D", (3.5, 1.2, 1, 1.2)),
    "Sobol": style.Look("#10305c", "v", ()),
}
HEIGHT, GAP = 2.35, 0.62  # inches: of a row of panels, and between two


def draw(results):
    """Return the figure."""
    rows = results.rows
    horizons = sorted(rows["horizon"].unique())
    height = len(horizons) * HEIGHT + (len(horizons) - 1) * GAP
    figure, whole = style.frame(len(NAMES), height, MESSAGE, describe(rows, results.about), ())
    for axis in whole:
        axis.remove()
    axes = figure.subplots(len(horizons), len(NAMES), sharex=True, sharey="row")
    figure.subplots_adjust(hspace=GAP / HEIGHT, wspace=0.1)
    legend(figure)
    for horizon, row in zip(horizons, axes, strict=True):
        for name, axis in zip(NAMES, row, strict=True):
            panel(axis, rows[(rows["horizon"] == horizon) & (rows["estimator"] == name)])
        slopes(row[0], rows[rows["horizon"] == horizon])
        row[0].set_ylabel("standard error of the gradient")
    for axis in axes[-1]:
        axis.set_xlabel("trajectories N")
    labels = [f"{name}, T = {horizon}" for horizon in horizons for name in NAMES]
    style.finish(figure, axes.flat, labels)
    return figure


def panel(axis, rows):
    """Draw the errors of all designs: lines that are exact or join what was measured, points with standard errors."""
    for design, look in LOOK.items():
        here = rows[rows["design"] == design].sort_values("trajectories")
        exact = here["exact_error"].notna().all()
        axis.plot(here["trajectories"], here["exact_error" if exact else "error"], zorder=2, **line(look))
        bars = {"elinewidth": 1, "ecolor": look.colour, "zorder": 3, "linestyle": "none"}
        axis.errorbar(here["trajectories"], here["error"], yerr=here["error_stderr"], **bars, **point(look))
    axis.set(xscale="log")
    style.logarithmic(axis, 1)


def slopes(axis, rows):
    """Draw the two laws, from the corner of what is drawn."""
    low, high = rows["trajectories"].min(), rows["trajectories"].max()
    x = np.array([low, (low * high) ** 0.5])
    y = rows.loc[rows["trajectories"] == low, "error"].min()
    for power, label in ((-0.5, "$N^{-1/2}$"), (-1.0, "$N^{-1}$")):
        found = 0.12 * y * (x / low) ** power
        style.reference(axis, x, found, label, (1.2 * x[1], found[1]), "left")


def line(look):
    """Return the keywords of a design's line."""
    return {"color": look.colour, "linestyle": (0, look.dash) if look.dash else "-"}


def point(look):
    """Return the keywords of a design's points."""
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.5}
    return {"marker": look.marker, "markersize": 4.6, "markerfacecolor": look.colour} | edge


def legend(figure):
    """Explain the designs."""
    style.legend(figure, [Line2D([], [], label=name, **line(look), **point(look)) for name, look in LOOK.items()])


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    most = rows["trajectories"].max()
    last = rows[rows["trajectories"] == most].set_index(["horizon", "estimator", "design"])
    error = last["exact_error"].fillna(last["error"])
    places = [(horizon, name) for horizon in sorted(rows["horizon"].unique()) for name in NAMES]
    measured = rows[rows["exact_error"].isna()]["count"].max()

    def gains(design):
        gain = (error[(*place, "random")] / error[(*place, design)] for place in places)
        return ", ".join(f"{n(x, 2)}~({letter})" for x, letter in zip(gain, "abcdef", strict=False))

    return (
        "Scalar linear-quadratic problem over one step, in which a gradient depends on two random numbers, and over ten, where "
        "they are twenty. Standard error of the mean gradient over N trajectories of one design. Random trajectories, and "
        "pairs of them with mirrored actions: lines are exact. Latin hypercubes and scrambled Sobol points: the spread over "
        f"{n(measured)} independent randomisations{style.remark(about)}, bars are one standard error. At "
        f"N~=~{n(most, 5)} Sobol points have errors smaller than those of random ones by factors of {gains('Sobol')}; a Latin "
        f"hypercube, which helps with what is a sum of functions of single random numbers, {gains('Latin hypercube')}; "
        f"mirrored actions {gains('mirrored actions')}."
    )
