"""Learning curves of the estimators, and what a variance costs a learner (study: learning)."""

import math

import numpy as np
from matplotlib.lines import Line2D

from figures import style

STUDY = "learning"
MESSAGE = "At the optimum less variance is less loss, in proportion; on the way few seeds tell little"
NAMES = (
    "score function",
    "score function, leave one out",
    "reward to go",
    "reward to go, value baseline",
    "reparameterization",
)
LOOKS = {name: style.look(name) for name in NAMES} | {
    "score function, leave one out": style.Look("#757575", "h", (4, 1.5)),
    "reward to go, mirrored actions": style.Look("#e69f00", "d", (2, 1)),
    "reparameterization, mirrored actions": style.Look("#10305c", "P", (2, 1)),
}
LABELS = {"score function, leave one out": "leave one out", "reward to go, value baseline": "value baseline"}
AWAY = 1 / 20  # of the loss at the start: until then trajectories are counted


def draw(results):
    """Return the figure."""
    rows = results.rows
    curves = rows[rows["part"] == "curve"]
    problems = list(curves["problem"].unique())
    columns = 4
    lines = -(-(len(problems) + 2) // columns)
    figure, axes = style.frame(columns, 2.35 * lines, MESSAGE, describe(rows, results.about), ())
    for axis in axes:
        axis.remove()
    width, total = figure.get_size_inches()
    bottom, top = figure.subplotpars.bottom, figure.subplotpars.top
    grid = figure.add_gridspec(
        lines, columns, left=0.065, right=0.99, top=top, bottom=bottom, wspace=0.32, hspace=1.05 / 2.35
    )
    axes = [figure.add_subplot(grid[k // columns, k % columns]) for k in range(len(problems) + 2)]
    handles = [
        Line2D([], [], label=LABELS.get(name, name), **style.line(x), **style.point(x))
        for name, x in LOOKS.items()
        if name in NAMES
    ]
    style.legend(figure, handles)
    for axis, problem in zip(axes, problems, strict=False):
        panel(axis, curves[curves["problem"] == problem])
        axis.set_xlabel("trajectories")
    for k in range(0, len(problems), columns):
        axes[k].set_ylabel("loss $J^*-J$")
    plateau(axes[-2], rows[rows["part"] == "plateau"])
    seconds(axes[-1], curves)
    labels = [TITLES.get(name, name) for name in problems]
    style.finish(figure, axes, [*labels, "plain ascent, in the end", "to a twentieth of the loss"])
    return figure


TITLES = {"two double integrators": "two integrators", "pendulum": "pendulum (loss: $-J$)"}


def panel(axis, rows):
    """Draw the medians of one problem, and the band of the middle four fifths of two estimators."""
    floor = rows.loc[rows["median"] > 0, "median"].min()
    for name, look in LOOKS.items():
        own = rows[(rows["estimator"] == name) & (rows["step"] > 0)].sort_values("step")
        if own.empty:
            continue
        x, y = own["trajectories"], own["median"].clip(lower=floor / 2)
        axis.plot(x, y, zorder=3, **style.line(look))
        axis.plot(x.iloc[::5], y.iloc[::5], zorder=4, linestyle="none", **style.point(look))
        if name in ("score function", "reparameterization", "reward to go, value baseline"):
            low, high = (
                own["low"].clip(lower=floor / 2),
                own["high"].fillna(np.inf).clip(upper=10 * rows["median"].max()),
            )
            axis.fill_between(x, low, high, color=look.colour, alpha=0.13, lw=0, zorder=1)
    start = rows.loc[rows["step"] == 0, "median"].max()
    axis.axhline(start, color=style.QUIET, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axis.set(xscale="log", yscale="log", ylim=(floor / 2.5, 3 * start))


def plateau(axis, rows):
    """Draw losses of plain ascent in the end over the exact variance, and theory's line."""
    for row in rows.itertuples():
        look = LOOKS[row.estimator]
        axis.errorbar(row.exact_variance, row.median, yerr=row.stderr, **style.bars(look), **style.point(look))
    V = np.array([rows["exact_variance"].min() / 2, rows["exact_variance"].max() * 2])
    slope = (rows["predicted"] / rows["exact_variance"]).mean()
    style.reference(axis, V, slope * V, r"$\alpha V/4B$", (V[0] * 3, slope * V[0] * 18))
    axis.set(xscale="log", yscale="log", xlabel="variance $V$ at the optimum")


def seconds(axis, rows):
    """Draw what each estimator takes, relative to the score function: trajectories, filled, and seconds, hollow."""
    problems = list(rows["problem"].unique())
    for k, problem in enumerate(problems):
        for name, look in LOOKS.items():
            found = relative(rows, problem, name)
            if found is None:
                continue
            axis.plot(found[0], k - 0.12, linestyle="none", zorder=3, **style.point(look))
            hollow = {"markerfacecolor": "white", "markeredgecolor": look.colour, "markeredgewidth": 1.1}
            axis.plot(found[1], k + 0.16, linestyle="none", zorder=3, **{**style.point(look), **hollow})
    axis.axvline(1.0, color=style.QUIET, linewidth=0.8, zorder=1)
    axis.set(xscale="log", ylim=(len(problems) - 0.5, -0.5), xlabel="cost (score function: 1)")
    axis.set_yticks(range(len(problems)), [TITLES.get(p, p).partition(" (")[0].replace("two ", "2 ") for p in problems])
    axis.tick_params(axis="y", length=0, labelsize=6.5)


def needed(rows, problem, name):
    """Return (trajectories, seconds) until the median loss is a twentieth of that of the start; infinity if it never is."""
    own = rows[(rows["problem"] == problem) & (rows["estimator"] == name)].sort_values("step")
    if own.empty:
        return None
    target, before = own["median"].iloc[0] * AWAY, None
    for row in own.itertuples():
        loss = math.inf if math.isnan(row.median) else row.median
        if loss <= target:
            count = row.trajectories
            if before is not None and before[0] and math.isfinite(before[1]) and loss > 0:
                share = math.log(before[1] / target) / math.log(before[1] / loss)
                count = before[0] * (count / before[0]) ** share
            return count, count * row.nanoseconds * 1e-9
        before = row.trajectories, loss
    return math.inf, math.inf


def relative(rows, problem, name):
    """Return what an estimator needs over what the score function needs, or None if one of them has not arrived."""
    own, unit = needed(rows, problem, name), needed(rows, problem, "score function")
    if own is None or not (math.isfinite(own[0]) and math.isfinite(unit[0])):
        return None
    return own[0] / unit[0], own[1] / unit[1]


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    curves, ends = rows[rows["part"] == "curve"], rows[rows["part"] == "plateau"].set_index("estimator")
    one = curves.iloc[0]
    gains = []
    for problem in curves["problem"].unique():
        names = curves.loc[curves["problem"] == problem, "estimator"].unique()
        best = next(x for x in ("reparameterization", "reward to go, value baseline", "reward to go") if x in names)
        found = relative(curves, problem, best)
        if found is not None:
            gains.append(
                f"{TITLES.get(problem, problem).partition(' (')[0]} {n(found[0], 2)} ({LABELS.get(best, best)})"
            )
        else:
            own = needed(curves, problem, best)
            gains.append(
                f"{TITLES.get(problem, problem).partition(' (')[0]} "
                + ("not by the score function" if math.isfinite(own[0]) else "by neither")
            )
    lost = curves.groupby("estimator")["lost"].max()
    ratio = ends["median"] / ends["predicted"]
    worst, mild = ratio.max(), ratio.min()
    V = ends["exact_variance"]
    top, low = V.idxmax(), V.idxmin()
    letter = "abcdefghij"[len(curves["problem"].unique())]
    after = "abcdefghij"[len(curves["problem"].unique()) + 1]
    return (
        f"Loss along stochastic gradient ascent by Adam, {one['batch']:.0f} trajectories a step: medians over "
        f"{one['seeds']:.0f} seeds{style.remark(about)}, shades the middle four fifths (of score function, value baseline and "
        f"reparameterization), at the rate of three that other seeds found best for each estimator and budget. The optimum is "
        f"that of the best constant gain (linear-quadratic problems), known (corridor), the horizon (cart-pole), or not known "
        f"(pendulum, where the loss is the cost). Dotted: the start. At most {lost.max():.0f} seeds of one curve were lost. "
        f"({letter})~Plain ascent with one rate from the optimum on: the loss in the end is the rate $\\alpha$ times the exact "
        f"variance over 4~times the batch $B$; bars are one standard error, diamond and cross: mirrored "
        f"actions; measured over predicted is {n(mild)} to "
        f"{n(worst)}; {top} varies {n(V[top] / V[low])} times as much as {low} and loses "
        f"{n(ends['median'][top] / ends['median'][low])} times as much. ({after})~Trajectories (filled) and seconds of one "
        f"thread (hollow) to a twentieth of the loss at the start, over those of the score function; trajectories: "
        f"{', '.join(gains)}. Exact values and critics cost nothing here. Preliminary: problems, rates and seeds were chosen "
        f"after trial runs, and curves of so few seeds are noisy."
    )
