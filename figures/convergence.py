"""How fast a Monte Carlo gradient converges, and how often a batch points downhill (studies: convergence, coverage)."""

import numpy as np

from figures import files, style

STUDY = "convergence"
MESSAGE = (
    "All errors fall like one over root N; what the estimator decides is how many trajectories it takes to point uphill"
)
RUNGS = (
    "evolution strategies",
    "score function",
    "reward to go",
    "reward to go, mean baseline",
    "reward to go, value baseline",
    "all actions",
    "reparameterization",
)
BANDS = ("score function", "reparameterization")
SIGNS = ("score function", "reward to go", "reward to go, value baseline", "reparameterization")
BASELINES = {  # of a batch: (label, look)
    "score function": ("none", style.Look("#c0392b", "o", ())),
    "score function, baseline J": ("exact J", style.Look("#009e73", "D", (3.5, 1.2, 1, 1.2))),
    "score function, leave one out": ("leave one out", style.Look("#4a98d4", "^", (1.4, 1.1))),
    "same-batch mean": ("batch mean", style.Look("#10305c", "v", (6, 1.5))),
}
INTERVALS = {  # label -> (interval, column, look)
    "means": ("mean", "coverage", style.Look("#009e73", "D", ())),
    "variances": ("variance", "coverage", style.Look("#10305c", "o", ())),
    "variances, 2 std. errors": ("variance", "coverage_of_two_stderr", style.Look("#e69f00", "s", ())),
}
NORMAL = (0.0627, 0.3186, 0.6745, 1.1503, 1.9600)  # 5, 25, 50, 75, 95 per cent of |normal|
FEW = 5  # wrong signs: below, a share is not drawn
AT = 16  # the batch that the caption speaks of


def draw(results):
    """Return the figure."""
    rows = {part: results.rows[results.rows["part"] == part] for part in results.rows["part"].unique()}
    coverage = files.read("coverage").rows
    caption = describe(rows, coverage, results.about)
    figure, axes = style.grid(2, 4, 2.3, MESSAGE, caption, [style.handle(name) for name in RUNGS], gap=0.95)
    figure.subplots_adjust(wspace=0.36)
    running(axes[0, 0], rows["running"])
    bands(axes[0, 1], rows["running"])
    covered(axes[0, 2], coverage)
    signs(axes[0, 3], rows["direction"])
    uphill(axes[1, 0], rows["uphill"], "cosine", {"ylabel": "mean cosine", "ylim": (0, 1.03)})
    uphill(axes[1, 1], rows["uphill"], "downhill", {"ylabel": "points downhill", "ylim": (2e-4, 0.8), "yscale": "log"})
    arms(axes[1, 2], rows["arms"])
    batches(axes[1, 3], rows["batches"])
    titles = ("error of the mean", "spread of errors", "95% intervals cover", "wrong sign")
    titles += ("cosine, 8 parameters", "downhill", "three arms, exact", "baselines from the batch")
    style.finish(figure, axes.ravel(), titles)
    return figure


def of(rows, name, what=None):
    """Return the rows of an estimator, or of one quantity of it, by size."""
    here = rows[rows["estimator"] == name]
    return (here if what is None else here[here["what"] == what]).sort_values("count")


def exact_and_seen(axis, here, look, label=None):
    """Draw exact values as a line, and what was measured as points with standard errors."""
    axis.plot(here["count"], here["exact"], label=label, **style.line(look) | {"linewidth": 1.2})
    seen = here[here["value"].notna()]
    axis.errorbar(seen["count"], seen["value"], yerr=seen["stderr"], **style.bars(look), **style.point(look))


def running(axis, rows):
    """Draw root mean squares: exact lines, points measured over repetitions, and the slope."""
    for name in RUNGS:
        here = of(rows, name).reset_index(drop=True)
        exact_and_seen(axis, here.assign(value=here["value"].where(here.index % 3 == 0)), name)
    x = np.array([30.0, 3000.0])
    y = 0.35 * float(of(rows, "all actions")["exact"].iloc[0]) / np.sqrt(x)
    style.reference(axis, x, y, r"$N^{-1/2}$", (200, 0.45 * y[0] * np.sqrt(30 / 200)))
    axis.set(xscale="log", yscale="log", xlabel="trajectories N", ylabel="root mean square error of dJ/dK")


def bands(axis, rows):
    """Draw quantiles of |error| over its standard deviation, and those of a normal distribution."""
    for name in BANDS:
        here, colour = of(rows, name), style.look(name).colour
        for low, high, alpha in (("q5", "q95", 0.16), ("q25", "q75", 0.3)):
            unit = {"color": colour, "alpha": alpha, "linewidth": 0}
            axis.fill_between(here["count"], here[low] / here["exact"], here[high] / here["exact"], **unit)
        axis.plot(here["count"], here["q50"] / here["exact"], **style.line(name) | {"linewidth": 1.3})
    for quantile in NORMAL:
        axis.axhline(quantile, color=style.INK, linewidth=0.7, linestyle=(0, (1, 1.5)))
    axis.set(xscale="log", yscale="log", ylim=(0.02, 4), xlabel="trajectories N", ylabel="|error| / its std")
    style.plain_ticks(axis, (0.03, 0.1, 0.3, 1, 3), "y")


def covered(axis, rows):
    """Draw coverage: the lowest, the mean and the highest over problems and estimators."""
    axis.axhline(95, color=style.QUIET, linewidth=0.8, zorder=0)
    for k, (label, (interval, column, look)) in enumerate(INTERVALS.items()):
        here = rows[rows["interval"] == interval].groupby("count")[column]
        x = np.array(sorted(here.groups)) * 10.0 ** (0.12 * (k - 1))
        low, mid, high = (100 * getattr(here, f)() for f in ("min", "mean", "max"))
        axis.errorbar(x, mid, yerr=[mid - low, high - mid], label=label, **style.bars(look), **style.point(look))
    axis.set(xscale="log", xlabel="trajectories of a measurement", ylabel="covers, %", ylim=(72, 101))
    axis.legend(frameon=False, fontsize=7, loc="lower right", borderpad=0, handletextpad=0.2)


def signs(axis, rows):
    """Draw how often a batch has the wrong sign, and the law for large batches."""
    for name in SIGNS:
        here = of(rows, name)
        exact_and_seen(axis, here.assign(value=here["value"].where(here["value"] * here["repeats"] >= FEW)), name)
    axis.set(xscale="log", yscale="log", ylim=(2e-4, 0.8), xlabel="batch B", ylabel="probability of the wrong sign")


def uphill(axis, rows, what, look):
    """Draw what was measured of the directions of batches."""
    for name in SIGNS:
        here = of(rows, name, what)
        seen = here[here["value"] * here["repeats"] >= FEW]
        axis.errorbar(seen["count"], seen["value"], yerr=seen["stderr"], **style.bars(name), **style.point(name))
        axis.plot(seen["count"], seen["value"], **style.line(name) | {"linewidth": 0.9})
    axis.set(xscale="log", xlabel="batch B", **look)


def arms(axis, rows):
    """Draw mean cosines and how often a batch points downhill, exact at every B."""
    axis.axhline(0, color=style.QUIET, linewidth=0.7, zorder=0)
    for name, (label, look) in list(BASELINES.items())[:3]:
        exact_and_seen(axis, of(rows, name, "cosine"), look)
        exact_and_seen(axis, of(rows, name, "downhill"), look)
        axis.plot([], [], label=label, **style.line(look), **style.point(look))
    axis.text(0.97, 0.94, "mean cosine", transform=axis.transAxes, ha="right", size=8)
    axis.text(0.97, 0.33, "downhill", transform=axis.transAxes, ha="right", size=8)
    axis.set(xscale="log", ylim=(-0.35, 1.12), xlabel="batch B", ylabel="cosine, probability")
    axis.legend(frameon=False, fontsize=7.5, loc=(0.4, 0.42), borderpad=0, handlelength=2.4)


def batches(axis, rows):
    """Draw variances of a batch over that of one without a baseline, times G; and what the mean of the batch shrinks."""
    for name, (label, look) in BASELINES.items():
        exact_and_seen(axis, of(rows, name, "variance"), look)
        axis.plot([], [], label=label, **style.line(look), **style.point(look))
    shrunk = style.Look(style.INK, "x", ())
    here = of(rows, "same-batch mean", "mean")
    axis.plot(here["count"], here["exact"], color=style.INK, linewidth=1.1, label="its mean / gradient")
    seen = here[here["value"].notna()]
    crosses = {"marker": "x", "markersize": 4.2, "color": style.INK}
    axis.errorbar(seen["count"], seen["value"], yerr=seen["stderr"], **style.bars(shrunk) | crosses)
    axis.set(xscale="log", ylim=(0, 1.95), xlabel="batch G", ylabel="G variance / that of one")
    style.plain_ticks(axis, (1, 4, 16, 64))
    axis.legend(frameon=False, fontsize=7, loc="upper right", borderpad=0, handlelength=2.2, labelspacing=0.3)


def describe(rows, coverage, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    run, sign = rows["running"], rows["direction"]
    last = run[run["count"] == run["count"].max()].set_index("estimator")["exact"]
    ratio = (last["score function"] / last["reparameterization"]) ** 2
    enough = [of(sign, name)[of(sign, name)["value"] < 0.05]["count"].min() for name in SIGNS]
    arm = rows["arms"].set_index(["estimator", "what", "count"])["exact"]
    cosines = [arm[name, "cosine", AT] for name in list(BASELINES)[:3]]
    batch = rows["batches"].set_index(["estimator", "what", "count"])["exact"]
    dearer = (
        batch["score function, leave one out", "variance", AT] / batch["score function, baseline J", "variance", AT]
    )
    turned = [of(rows["uphill"], name, "cosine").set_index("count")["value"][64] for name in (SIGNS[0], SIGNS[-1])]
    least = coverage[(coverage["interval"] == "variance") & (coverage["count"] == coverage["count"].min())]
    interval, plain = (100 * least[column].min() for column in ("coverage", "coverage_of_two_stderr"))
    return (
        "(a)~Scalar linear-quadratic problem, 10 steps. Lines: exact standard deviation of a mean of N; points: root mean "
        f"square over {int(run['repeats'].max())} repetitions{style.remark(about)}, bars one standard error. For one error the "
        f"score function takes {n(ratio, 2)} times the trajectories of reparameterization. Evolution strategies (two rollouts "
        f"a sample) have a bias, at which they stay. (b)~Quantiles of errors over their std: 5, 25, 50, 75, 95~%; dotted: of a "
        "normal distribution. Score functions have heavy tails: at small N most errors are small, and few are large. "
        "(c)~Lowest, mean and highest over the problems of the study coverage. At the smallest count, intervals of variances "
        f"cover {n(interval)}~% or more, two standard errors {n(plain)}~% or more. (d)~Fewer than 5~% of batches have a wrong "
        f"sign from B~=~{enough[0]:.0f} on (score function), {enough[1]:.0f} (reward to go), {enough[2]:.0f} (value baseline), "
        f"{enough[3]:.0f} (reparameterization). Lines: the normal law, which overstates what is rare: large samples point "
        "uphill. (e,~f)~Two double integrators, 50 steps, measured: at B~=~64 the mean cosine is "
        f"{n(turned[0], 2)} (score function) and {n(turned[1], 2)} (reparameterization). (g)~A bandit, rewards certain; lines: "
        "exact sums over all counts of a batch. Without a baseline a single trajectory points downhill in "
        f"{100 * arm['score function', 'downhill', 1]:.0f}~% of cases. At B~=~{AT} the mean cosine "
        f"is {n(cosines[0])}, with the exact J {n(cosines[1])}, with leave one out {n(cosines[2])}; the mean of the batch and "
        "standardised advantages point as leave one out does. (h)~The mean of the batch as a baseline shrinks the gradient by "
        f"1~\N{MINUS SIGN}~1/G, exactly, and has the variance of leave one out times the square of that. Leave one out is "
        f"unbiased, and at G~=~{AT} varies {n(dearer)} times as much as with the exact J."
    )
