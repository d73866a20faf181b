"""Learning curves of the estimators, and what a variance costs a learner (study: learning)."""

import math

import numpy as np
from matplotlib.lines import Line2D

from figures import style

STUDY = "learning"
MESSAGE = "Less variance is less loss: in proportion at the optimum, and mostly by large factors on the way there"
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
    style.finish(figure, axes, [*labels, "plain ascent, in the end", "loss after all steps"])
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
    """Draw losses over that of the score function: after as many trajectories, filled, and after its seconds, hollow."""
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
    axis.set(xscale="log", ylim=(len(problems) - 0.5, -0.5), xlabel="loss (score function: 1)")
    axis.set_yticks(range(len(problems)), [TITLES.get(p, p).partition(" (")[0].replace("two ", "2 ") for p in problems])
    axis.tick_params(axis="y", length=0, labelsize=6.5)


def relative(rows, problem, name):
    """Return the median loss in the end over that of the score function, at equal trajectories and at equal seconds.

    An estimator that costs less than the score function is not given the trajectories that it would have had left.
    """
    curves = [rows[(rows["problem"] == problem) & (rows["estimator"] == x)] for x in (name, "score function")]
    if any(x.empty for x in curves):
        return None
    own, unit = (x[x["step"] > 0].sort_values("step") for x in curves)
    last = unit.iloc[-1]
    allowed = last["trajectories"] * min(1.0, last["nanoseconds"] / own["nanoseconds"].iloc[-1])
    at = np.interp(math.log(allowed), np.log(own["trajectories"]), np.log(own["median"].clip(lower=1e-12)))
    found = own["median"].iloc[-1] / last["median"], math.exp(at) / last["median"]
    return found if np.isfinite(found).all() and found[0] > 0 else None  # half of the seeds may be at the best there is


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
            title = TITLES.get(problem, problem).partition(" (")[0]
            gains.append(f"{title} {n(found[0], 2)} ({LABELS.get(best, best)})")
    lost = curves.groupby("estimator")["lost"].max()
    gone = f"At most {lost.max():.0f} seeds of one curve were lost." if lost.max() else "No seed was lost."
    most = f"{curves['trajectories'].max():.0f}"
    ratio = ends["median"] / ends["predicted"]
    worst, mild = ratio.max(), ratio.min()
    V = ends["exact_variance"]
    top, low = V.idxmax(), V.idxmin()
    letter = "abcdefghij"[len(curves["problem"].unique())]
    after = "abcdefghij"[len(curves["problem"].unique()) + 1]
    return (
        f"Loss along stochastic gradient ascent by Adam, {one['batch']:.0f} trajectories a step: medians over "
        f"{one['seeds']:.0f} seeds{style.remark(about)}, shades the middle four fifths (of score function, value baseline "
        "and reparameterization), at the rate of seven (0.03 to 1) that nine other seeds found best for each estimator "
        "and budget. The optimum is that of the best constant gain (linear-quadratic problems), known (corridor), the "
        f"horizon (cart-pole), or not known (pendulum, where the loss is the cost). Dotted: the start. {gone} "
        f"({letter})~Plain ascent with one rate from the optimum on: the loss in the end is the rate $\\alpha$ times the "
        "exact variance over 4~times the batch $B$; bars are one standard error, diamond and cross: mirrored actions; "
        f"measured over predicted is {n(mild)} to {n(worst)}; {top} varies {n(V[top] / V[low])} times as much as {low} and "
        f"loses {n(ends['median'][top] / ends['median'][low])} times as much. ({after})~Median loss after {most} "
        "trajectories (filled) and after the seconds that these take the score function on one thread (hollow), over that "
        f"of the score function; at equal trajectories: {', '.join(gains)}. A median of 0 is not drawn. Exact values and "
        "critics cost nothing here. Problems and the range of rates were chosen after trial runs."
    )
