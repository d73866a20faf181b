"""Noise-to-signal ratios over noise of policy and start, after Han and Yang 2026 (study: han_yang_2026)."""

import numpy as np
from matplotlib.ticker import FixedLocator

from figures import style

STUDY = "han_yang_2026"
NAMES = ("score function", "reward to go", "reward to go, value baseline", "reparameterization")
SCORE, TO_GO, VALUE, PATH = NAMES
MESSAGE = "A value baseline tames REINFORCE as exploration vanishes, but only in a world without noise"
MAPS = (("one step", SCORE), ("ten steps", SCORE), ("ten steps", VALUE), ("ten steps", PATH))
INITIAL = {0.01: (1.4, 1.1), 1.0: (), 10.0: (6, 1.5)}  # std of the initial state -> dashes
LEVELS = np.arange(-1, 12)


def draw(results):
    """Return the figure."""
    rows = results.rows
    handles = [style.handle(name) for name in NAMES]
    figure, axes = style.grid(2, 4, 2.05, MESSAGE, describe(rows, results.about), handles, gap=0.85)
    figure.subplots_adjust(wspace=0.3, right=0.94)
    for axis, (part, name) in zip(axes[0], MAPS, strict=True):
        shade = plane(axis, rows[(rows["part"] == part) & (rows["estimator"] == name)])
    box = axes[0, 3].get_position()
    side = figure.add_axes([box.x1 + 0.008, box.y0, 0.012, box.height])
    figure.colorbar(shade, cax=side, ticks=LEVELS[1::2])
    side.set_yticklabels([f"$10^{{{k}}}$" for k in LEVELS[1::2]])
    side.tick_params(length=2, labelsize=8)
    side.minorticks_off()
    axes[0, 0].set_ylabel("std of the initial state")
    slices(axes[1, 0], rows)
    noises = sorted(rows["process_noise"].unique())
    for axis, noise in zip(axes[1, 1:3], noises, strict=True):
        lines(axis, rows[(rows["part"] == "std") & (rows["process_noise"] == noise)], "std")
        axis.set(xlabel="std of the policy", ylim=(0.1, 3e10))
    lines(axes[1, 3], rows[rows["part"] == "horizon"], "horizon")
    axes[1, 3].set(xlabel="horizon T", ylim=(0.1, 3e7))
    axes[1, 0].set_ylabel("noise-to-signal ratio")
    x = np.array([0.02, 0.3])
    style.reference(axes[1, 0], x, 3e6 * (x / 0.02) ** -2.0, "std$^{-2}$", (0.055, 3e4), "right")
    n = style.number
    titles = ("REINFORCE, T = 1", "REINFORCE, T = 10", "value baseline, T = 10", "pathwise, T = 10")
    titles += (
        "REINFORCE, T = 1",
        "T = 10, no process noise",
        f"T = 10, process noise {n(noises[1])}",
        "over the horizon",
    )
    style.finish(figure, axes.flat, titles)
    return figure


def plane(axis, rows):
    """Draw decades of the ratio over both kinds of noise; return the shades."""
    table = rows.pivot(index="initial_std", columns="std", values="exact_nsr")
    values = np.log10(table.to_numpy())
    x, y = np.log10(table.columns), np.log10(table.index)  # contours are straight between points of the logarithms
    shade = axis.contourf(x, y, values, LEVELS, cmap="cividis", extend="neither")
    axis.contour(x, y, values, LEVELS, colors="white", linewidths=0.5)
    ticks = np.arange(round(x.min()), round(x.max()) + 1)
    axis.set_xticks(ticks, [f"$10^{{{k}}}$" for k in ticks])
    axis.set_yticks(ticks, [f"$10^{{{k}}}$" for k in ticks])
    axis.set_xlabel("std of the policy")
    return shade


def slices(axis, rows):
    """Draw the ratio of REINFORCE over one step at some stds of the initial state."""
    for initial, dash in INITIAL.items():
        here = rows[(rows["part"] == "one step") & (rows["initial_std"] == initial)].sort_values("std")
        axis.plot(here["std"], here["exact_nsr"], color=style.look(SCORE).colour, linestyle=(0, dash) if dash else "-")
        place = (here["std"].iloc[2], here["exact_nsr"].iloc[2])
        axis.annotate(f"{initial:g}", place, (3, 3), textcoords="offset points", size=8, color=style.QUIET)
    axis.set(xscale="log", xlabel="std of the policy", ylim=(0.1, 3e10))
    style.logarithmic(axis)


def lines(axis, rows, x):
    """Draw the ratio of all estimators over a column: exact lines, measured points with bounds of their errors."""
    for name in NAMES:
        here = rows[rows["estimator"] == name].sort_values(x)
        axis.plot(here[x], here["exact_nsr"], zorder=2, **style.line(name))
        seen = here[here["count"] > 0]
        axis.errorbar(seen[x], seen["nsr"], yerr=seen["nsr_stderr"], **style.bars(name), **style.point(name))
    axis.set(xscale="log")
    style.logarithmic(axis)
    if x == "horizon":
        axis.xaxis.set_major_locator(FixedLocator([1, 10, 100]))


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    one = rows[rows["part"] == "one step"]["exact_nsr"]
    T = rows[(rows["part"] == "horizon")].set_index(["estimator", "horizon"])["exact_nsr"]
    low = rows["std"].min()
    small = rows[(rows["part"] == "std") & (rows["std"] == low)].set_index(["process_noise", "estimator"])["exact_nsr"]
    quiet, noisy = sorted(rows["process_noise"].unique())
    return (
        "Double integrator, K~=~(−1,~−3); total variance of one trajectory's gradient in K and log std, over the squared norm "
        "of the gradient. Lines and shades are exact (decades; white: contours); points are measured on "
        f"{n(rows['count'].max())} trajectories{style.remark(about)}, bars bound errors. (a)~From {n(one.min(), 7)} "
        f"to {n(one.max(), 8)}, as in the published check of the theorem of Han and Yang (2026). (e)~Cuts of it, numbers: std "
        "of the initial state. Their slope of −2 is there wherever std is small; at large std the ratio tends to a constant. "
        f"(b-d, f)~New: at std {low:g} the value baseline takes it from {n(small[quiet, SCORE])} to "
        f"{n(small[quiet, VALUE])}, next to {n(small[quiet, PATH])} of the pathwise gradient; (g)~with process noise of "
        f"variance {noisy:g}, which the paper leaves out, it is left with {n(small[noisy, VALUE])}, and the slope is back. "
        f"(h)~Policy of variance 0.1: {n(T[SCORE, 5], 8)} at T~=~5, {n(T[SCORE, 10], 6)} at T~=~10. The matrices of the "
        "double integrator in the paper are not in its text; its own maps cannot be compared number by number."
    )
