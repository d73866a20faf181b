"""How fast a Monte Carlo gradient converges, how often a batch points downhill (study: convergence, with coverage)."""

import numpy as np
from matplotlib.lines import Line2D

from figures import files, style

STUDY = "convergence"
MESSAGE = (
    "All errors fall like one over root N; what the estimator decides is how many trajectories it takes to point uphill"
)
RUNGS = (
    "score function",
    "reward to go",
    "reward to go, mean baseline",
    "reward to go, value baseline",
    "all actions",
    "reparameterization",
)
BANDS = ("score function", "reparameterization")
SIGNS = ("score function", "reward to go", "reward to go, value baseline", "reparameterization")
ARMS = {  # of a bandit: baseline -> look
    "score function": style.Look("#c0392b", "o", ()),
    "score function, baseline J": style.Look("#009e73", "D", (3.5, 1.2, 1, 1.2)),
    "score function, leave one out": style.Look("#4a98d4", "^", (1.4, 1.1)),
    "same-batch mean": style.Look("#10305c", "v", (6, 1.5)),
}
INTERVALS = {  # kind -> (label, column, look)
    "mean": ("of means", "coverage", style.Look("#009e73", "D", ())),
    "variance": ("of variances", "coverage", style.Look("#10305c", "o", ())),
    "two": ("of variances, 2 std. errors", "coverage_of_two_stderr", style.Look("#e69f00", "s", ())),
}


def draw(results):
    """Return the figure."""
    rows = {part: results.rows[results.rows["part"] == part] for part in results.rows["part"].unique()}
    coverage = files.read("coverage").rows
    handles = [style.handle(name) for name in RUNGS]
    caption = describe(rows, coverage, results.about)
    figure, axes = style.grid(2, 3, 2.5, MESSAGE, caption, handles, gap=0.95)
    figure.subplots_adjust(wspace=0.3)
    running(axes[0, 0], rows["running"])
    bands(axes[0, 1], rows["running"])
    covered(axes[0, 2], coverage)
    signs(axes[1, 0], rows["direction"])
    arms(axes[1, 1], rows["arms"])
    batches(axes[1, 2], rows["batches"])
    titles = ("error of the mean", "spread of errors", "intervals of 95%")
    titles += ("wrong sign", "direction, three arms", "baselines from the batch")
    style.finish(figure, axes.ravel(), titles)
    return figure


def of(rows, name):
    """Return the rows of an estimator by size."""
    return rows[rows["estimator"] == name].sort_values("count")


def line(look):
    """Return the keywords of a line."""
    return {"color": look.colour, "linestyle": (0, look.dash) if look.dash else "-", "linewidth": 1.3}


def running(axis, rows):
    """Draw root mean squares: exact lines, points measured over repetitions, and the slope."""
    for name in RUNGS:
        here = of(rows, name)
        axis.plot(here["count"], here["exact"], zorder=2, **style.line(name) | {"linewidth": 1.1})
        seen = here.iloc[::3]
        axis.errorbar(seen["count"], seen["value"], yerr=seen["stderr"], **style.bars(name), **style.point(name))
    x = np.array([30.0, 3000.0])
    least = of(rows, RUNGS[-2])
    y = 0.35 * float(least["exact"].iloc[0]) / np.sqrt(x)
    style.reference(axis, x, y, r"$N^{-1/2}$", (200, 0.5 * y[0] * np.sqrt(30 / 200)))
    axis.set(xscale="log", yscale="log", xlabel="trajectories N", ylabel="root mean square error of dJ/dK")


def bands(axis, rows):
    """Draw quantiles of |error| over its root mean square, and those of a normal distribution."""
    for k, name in enumerate(BANDS):
        here, own = of(rows, name), style.look(name)
        x = here["count"] * (1.0 + 0.16 * k)
        for low, high, alpha in (("q5", "q95", 0.16), ("q25", "q75", 0.3)):
            axis.fill_between(
                x, here[low] / here["exact"], here[high] / here["exact"], color=own.colour, alpha=alpha, lw=0
            )
        axis.plot(x, here["q50"] / here["exact"], **style.line(name) | {"linewidth": 1.3})
    for quantile in (0.0627, 0.3186, 0.6745, 1.1503, 1.9600):  # of |normal|: 5, 25, 50, 75, 95 %
        axis.axhline(quantile, color=style.QUIET, linewidth=0.7, linestyle=(0, (1, 1.5)), zorder=0)
    axis.set(xscale="log", yscale="log", ylim=(0.02, 4), xlabel="trajectories N", ylabel="|error| / its std")
    style.plain_ticks(axis, (0.03, 0.1, 0.3, 1, 3), "y")


def covered(axis, rows):
    """Draw coverage: the lowest, the mean and the highest over problems and estimators."""
    axis.axhline(95, color=style.QUIET, linewidth=0.8, zorder=0)
    for k, (kind, (label, column, look)) in enumerate(INTERVALS.items()):
        here = rows[rows["interval"] == ("variance" if kind == "two" else kind)].groupby("count")[column]
        x = np.array(sorted(here.groups)) * 10.0 ** (0.12 * (k - 1))
        low, mid, high = (100 * getattr(here, f)() for f in ("min", "mean", "max"))
        axis.errorbar(x, mid, yerr=[mid - low, high - mid], label=label, marker=look.marker, color=look.colour,
                      linestyle="none", elinewidth=1, markersize=4.6, markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
    axis.set(xscale="log", xlabel="trajectories of a measurement", ylabel="covers, %", ylim=(66, 101))
    axis.legend(frameon=False, fontsize=7.5, loc="lower right", borderpad=0, handletextpad=0.2)


def signs(axis, rows):
    """Draw how often a batch has the wrong sign, and the law for large batches."""
    for name in SIGNS:
        here = of(rows, name)
        axis.plot(here["count"], here["exact"], **style.line(name) | {"linewidth": 1.1})
        seen = here[here["value"] * here["repeats"] >= 5]
        axis.errorbar(seen["count"], seen["value"], yerr=seen["stderr"], **style.bars(name), **style.point(name))
    axis.set(xscale="log", yscale="log", ylim=(2e-4, 0.7), xlabel="batch B", ylabel="probability of the wrong sign")


def arms(axis, rows):
    """Draw mean cosines and how often a batch points downhill, exact at every B."""
    for what, at in (("cosine", "above"), ("downhill", "below")):
        for name in list(ARMS)[:3]:
            here, look = of(rows, f"{name}: {what}"), ARMS[name]
            axis.plot(here["count"], here["exact"], **line(look))
            seen = here[here["value"].notna()]
            axis.errorbar(seen["count"], seen["value"], yerr=seen["stderr"], marker=look.marker, color=look.colour,
                          linestyle="none", markersize=4.2, markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
        y = 0.93 if at == "above" else 0.075
        axis.text(
            0.98,
            y,
            {"cosine": "mean cosine", "downhill": "downhill"}[what],
            transform=axis.transAxes,
            ha="right",
            size=8,
        )
    axis.set(xscale="log", ylim=(-0.02, 1.12), xlabel="batch B", ylabel="cosine, probability")
    names = {
        "score function": "no baseline",
        "score function, baseline J": "baseline J",
        "score function, leave one out": "of the batch",
    }
    handles = [
        Line2D([], [], label=label, marker=ARMS[n].marker, markersize=4.2, **line(ARMS[n]))
        for n, label in names.items()
    ]
    axis.legend(handles=handles, frameon=False, fontsize=7.5, loc="center right", borderpad=0, handlelength=2.4)


def batches(axis, rows):
    """Draw means over the gradient, and variances of a batch over that of one without a baseline, times G."""
    labels = {"score function": "none: 1/G", "score function, baseline J": "exact J", "score function, leave one out": "leave one out",
              "same-batch mean": "batch mean"}  # fmt: skip
    for name, look in ARMS.items():
        here = of(rows, f"{name}: variance")
        axis.plot(here["count"], here["exact"], label=labels[name], **line(look))
        seen = here[here["value"].notna()]
        axis.errorbar(seen["count"], seen["value"], yerr=seen["stderr"], marker=look.marker, color=look.colour,
                      linestyle="none", markersize=4.2, markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
    here = of(rows, "same-batch mean: mean")
    axis.plot(here["count"], here["exact"], color=style.INK, linewidth=1.1, label="its mean: 1 \N{MINUS SIGN} 1/G")
    seen = here[here["value"].notna()]
    axis.errorbar(
        seen["count"], seen["value"], yerr=seen["stderr"], marker="x", color=style.INK, linestyle="none", markersize=4.2
    )
    axis.set(xscale="log", ylim=(0, 1.5), xlabel="batch G", ylabel="G variance / single;  mean / gradient")
    style.plain_ticks(axis, (1, 4, 16, 64))
    axis.legend(
        frameon=False, fontsize=7.5, loc="upper right", ncols=2, borderpad=0, handlelength=2.2, columnspacing=1.0
    )


def describe(rows, coverage, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    run, sign = rows["running"], rows["direction"]
    largest = run["count"].max()
    last = run[run["count"] == largest].set_index("estimator")
    ratio = (last.loc["score function", "exact"] / last.loc["reparameterization", "exact"]) ** 2
    enough = {name: of(sign, name)[of(sign, name)["value"] < 0.05]["count"].min() for name in SIGNS}
    arms_of = rows["arms"].set_index(["estimator", "count"])["exact"]
    worst = {
        f"{name}: {what}": arms_of[f"{name}: {what}"]
        for name in ARMS
        if name != "same-batch mean"
        for what in ("cosine",)
    }
    at = 16
    batch = rows["batches"].set_index(["estimator", "count"])["exact"]
    few = coverage[(coverage["interval"] == "variance") & (coverage["count"] == coverage["count"].min())]
    return (
        f"(a)~Scalar linear-quadratic problem, 10 steps. Lines: exact standard deviation of a mean of N; points: root mean square over "
        f"{int(run['repeats'].max())} repetitions{style.remark(about)}, bars one standard error. For one error the score function takes "
        f"{n(ratio, 2)} times the trajectories of reparameterization. (b)~Quantiles of errors over their exact std, 5, 25, 50, 75 and "
        "95~%; dotted: of a normal distribution. Score functions have heavy tails: at small N most errors are small, few are large. "
        "(c)~How often intervals cover (study coverage): lowest, mean and highest over its problems. Two standard errors of a variance "
        f"cover {n(100 * few['coverage_of_two_stderr'].min(), 2)}~% where the interval covers {n(100 * few['coverage'].min(), 2)}~%. "
        f"(d)~A batch has the wrong sign in less than 5~% from B~=~{', '.join(f'{x:.0f}' for x in enough.values())} on, in the order of the "
        "legend without the mean baseline; lines: the normal law. (e)~Lines: exact sums over all counts of a bandit with three arms. "
        f"At B~=~{at} the mean cosine is {n(worst['score function: cosine'][at])} without a baseline, "
        f"{n(worst['score function, baseline J: cosine'][at])} with J, {n(worst['score function, leave one out: cosine'][at])} with the "
        "batch's own: leave one out, the mean of the batch and standardised advantages point the same way. (f)~The mean of the batch as a "
        f"baseline shrinks the gradient by 1~\N{MINUS SIGN}~1/G and its variance with it; leave one out is unbiased, and at G~=~{at} has "
        f"{n(batch['score function, leave one out: variance', at] / batch['score function, baseline J: variance', at])} times the variance "
        "of the exact J."
    )
