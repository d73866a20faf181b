"""Variance against time: what a given accuracy costs, for every rung of the ladder (study: ladder)."""

import numpy as np
from matplotlib.lines import Line2D

from figures import style

STUDY = "ladder"
MESSAGE = "What counts is variance times time: along a dotted line an estimate of given error costs the same"
TITLES = {
    "scalar": "scalar, T = 10",
    "two double integrators": "4 states, 2 actions, T = 50",
    "only actions cost": "only actions cost, T = 5",
}
# A label for the cheapest of each family, and for the dearest of all.
FAMILIES = {
    "score": "score function",
    "to go": "reward to go",
    "mean": "baseline over time",
    "value": "value baseline",
    "critic": "exact critic (oracle)",
    "slope": "its derivative (oracle)",
    "pathwise": "pathwise",
    "returns": "evolution strategies",
}


def draw(results):
    """Return the figure."""
    table = totals(results.rows)
    looks = {kind: style.KINDS[kind] for kind in FAMILIES}
    handles = [
        Line2D([], [], label=FAMILIES[kind], linestyle="none", **style.point(look)) for kind, look in looks.items()
    ]
    there = systems(table)
    figure, axes = style.grid(1, len(there), 2.9, MESSAGE, describe(results.rows, results.about), handles)
    figure.subplots_adjust(wspace=0.24)
    for axis, system in zip(axes[0], there, strict=True):
        panel(axis, table.loc[system])
    axes[0, 0].set_ylabel("variance of a sample (pathwise: 1)")
    style.finish(figure, axes[0], [TITLES[x] for x in there])
    return figure


def systems(table):
    """Return which systems there are; a quick study leaves some out."""
    return [x for x in TITLES if x in table.index.get_level_values("system")]


def totals(rows):
    """Return variances, nanoseconds and their products in units of the pathwise one's, by system and estimator."""
    rows = rows.assign(variance=rows["exact_variance"].fillna(rows["variance"]))
    found = rows.groupby(["system", "estimator"]).agg(
        variance=("variance", "sum"), nanoseconds=("nanoseconds", "first")
    )
    own = found.xs("reparameterization", level="estimator")
    found["relative"] = found["variance"] / own["variance"].reindex(found.index.get_level_values("system")).to_numpy()
    found["price"] = found["relative"] * found["nanoseconds"]
    return found


def panel(axis, table):
    """Draw all estimators of a system, and lines of equal price."""
    for name, row in table.iterrows():
        look = style.KINDS[style.TABLE["names"][name]]
        axis.plot(
            row["nanoseconds"], row["relative"], linestyle="none", zorder=3, **(style.point(look) | {"markersize": 6})
        )
    low, high = table["nanoseconds"].min() * 0.75, table["nanoseconds"].max() * 1.35
    axis.set(xscale="log", yscale="log", xlim=(low, high), xlabel="nanoseconds of a sample, one core")
    bottom, top = table["relative"].min() / 2, table["relative"].max() * 2
    x = np.array([low, high])
    for k in range(int(np.log10(low * bottom)), int(np.log10(high * top)) + 2):
        axis.plot(x, 10.0**k / x, color=style.QUIET, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)
    best = table["price"].idxmin()
    place = (table.loc[best, "nanoseconds"], table.loc[best, "relative"])
    axis.plot(*place, "o", markersize=11, mfc="none", mec=style.INK, mew=0.9, zorder=5)
    axis.set_ylim(bottom, top)
    style.logarithmic(axis, 1)
    ticks = [x for x in (20, 50, 100, 200, 500, 1000, 2000, 5000) if low < x < high]
    style.plain_ticks(axis, ticks)


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n, table = style.number, totals(rows)
    there = systems(table)
    best = [f"{table.loc[system, 'price'].idxmin()}~({letter})" for system, letter in zip(there, "abc", strict=False)]

    def over(name):
        price = table["price"]
        return ", ".join(n(price[s, name] / price[s, "reparameterization"], 2) for s in there)

    return (
        "Every rung of the ladder: variance of a sample, summed over parameters, exact where known, against its time on one "
        f"thread, with moments and fits{style.remark(about)}. An error of given size takes variance / error$^2$ samples, "
        "hence time in proportion to variance~×~nanoseconds: dotted lines of equal price are a decade apart. Circles: the "
        f"cheapest, {', '.join(best)}; oracles, which know an exact critic, included. In units of the pathwise gradient's, "
        f"the price of the value baseline is {over('reward to go, value baseline')}, of the plain score function "
        f"{over('score function')}. Times are CPU times, the best of a few, and noisy by some percent."
    )
