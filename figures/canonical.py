"""One scalar problem, every rung: horizon, dimension, kurtosis, and where the usual order breaks (study: canonical)."""

import numpy as np

from figures import style

STUDY = "canonical"
LABELS = {
    "score function": "score function",
    "reward to go": "reward to go",
    "reward to go, mean baseline": "mean baseline",
    "reward to go, value baseline": "value baseline",
    "reparameterization": "pathwise",
    "value gradient": "value gradient",
    "all actions": "all actions",
}
SCORE, TO_GO, MEAN, VALUE, PATH, SLOPE, ALL = LABELS
MIRRORED, VALUE_MIRRORED = "score function, mirrored actions", "value baseline, mirrored actions"
CONSTANT, OPTIMAL, QUADRATIC = (
    "score function, baseline J",
    "score function, optimal constant",
    "reward to go, optimal quadratic",
)
LOOKS = {name: style.look(name) for name in LABELS}
LOOKS |= {SLOPE: style.KINDS["slope"], ALL: style.KINDS["critic"], CONSTANT: style.KINDS["returns"]}
LOOKS |= {QUADRATIC: style.KINDS["mixed"], MIRRORED: style.KINDS["measure"], VALUE_MIRRORED: style.KINDS["mean"]}
MESSAGE = "One problem, every rung exactly, and two places where the usual order of estimators breaks"


def draw(results):
    """Return the figure."""
    rows = results.rows
    handles = [style.handle(LOOKS[name], label) for name, label in LABELS.items()]
    handles += [style.handle(LOOKS[CONSTANT], "(b, c) score function less J")]
    handles += [style.handle(LOOKS[MIRRORED], "(d) mirrored actions")]
    handles += [style.handle(LOOKS[VALUE_MIRRORED], "(d) value, mirrored")]
    handles += [style.handle(LOOKS[QUADRATIC], "(e) optimal quadratic baseline")]
    figure, axes = style.grid(2, 3, 2.1, MESSAGE, describe(rows, results.about), handles, gap=0.8)
    figure.subplots_adjust(wspace=0.27)
    parts = {part: rows[rows["part"] == part] for part in rows["part"].unique()}
    lines(axes[0, 0], parts["horizon"], LABELS)
    axes[0, 0].set(xlabel="horizon T", ylabel="variance of one trajectory", xticks=(1, 5, 10, 15, 20))
    lines(axes[0, 1], parts["dimension"], (SCORE, TO_GO, CONSTANT, VALUE, PATH))
    axes[0, 1].set(xlabel="copies n of the problem", ylabel="variance, one gain", xticks=(1, 5, 10, 15, 20))
    excess(axes[0, 2], parts["horizon"])
    lines(axes[1, 0], parts["exploration"], (SCORE, VALUE, MIRRORED, VALUE_MIRRORED, PATH))
    axes[1, 0].set(xscale="log", xlabel="std of the policy", ylabel="variance of one sample")
    margin(axes[1, 1], parts["marginal"])
    kurtosis(axes[1, 2], parts["horizon"])
    titles = ("canonical table", "dimension, T = 10", "what J leaves as a baseline")
    titles += ("process noise, T = 10", "a loop at its margin", "trajectories for one percent")
    style.finish(figure, axes.flat, titles)
    return figure


def lines(axis, rows, names):
    """Draw variances."""
    for name in names:
        style.exact_and_measured(axis, rows, "x", name, LOOKS[name])
    style.logarithmic(axis)


def excess(axis, rows):
    """Draw how much larger the variance with the mean return is than with the best constant."""
    table = rows.pivot(index="x", columns="estimator", values="exact_variance")
    axis.plot(table.index, table[CONSTANT] / table[OPTIMAL], **style.line(LOOKS[CONSTANT]))
    axis.axhline(1, color=style.QUIET, linewidth=0.9, zorder=1)
    axis.set(xlabel="horizon T", ylabel="variance: J / best constant", xticks=(1, 5, 10, 15, 20), ylim=(0.95, 1.8))


def margin(axis, rows):
    """Draw variances in units of the pathwise one."""
    table = rows.pivot(index="x", columns="estimator", values="exact_variance")
    for name in (VALUE, QUADRATIC, PATH):
        axis.plot(table.index, table[name] / table[PATH], **style.line(LOOKS[name]))
    axis.set(xscale="log", xlabel="horizon T", ylabel="variance (pathwise: 1)")
    style.logarithmic(axis, 1)
    style.plain_ticks(axis, (2, 5, 10, 20, 50, 100))


def kurtosis(axis, rows):
    """Draw how many trajectories it takes to know a variance to one percent."""
    seen = rows[rows["count"] > 0]
    for name in LABELS:
        here = seen[seen["estimator"] == name].sort_values("x")
        axis.plot(here["x"], 1e4 * (here["kurtosis"] - 1), **(style.line(LOOKS[name]) | style.point(LOOKS[name])))
    axis.set(xlabel="horizon T", ylabel="trajectories", xticks=(1, 5, 10, 15, 20), ylim=(1e4, 1e7))
    style.logarithmic(axis, 1)


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    at = rows.set_index(["part", "x", "estimator"])["exact_variance"].sort_index()
    last = np.array([at["horizon", 10, name] for name in LABELS])
    std = rows.loc[rows["part"] == "exploration", "x"].min()
    small = {name: at["exploration", std, name] for name in (SCORE, VALUE, MIRRORED, VALUE_MIRRORED, PATH)}
    gains = ", ".join(
        f"{n(at['marginal', T, QUADRATIC] / at['marginal', T, PATH], 2)} (T~=~{T})" for T in (12, 40, 160)
    )
    J = [at["horizon", T, CONSTANT] / at["horizon", T, OPTIMAL] for T in (1, 5, 20)]
    growth = at["dimension", 20, SCORE] / at["dimension", 1, SCORE]
    return (
        "s' = .9~s + .5~a + w, a = −.6~s + .5~e, w of variance .04, reward −(s² + .1~a²). Lines are exact; points: "
        f"{n(rows['count'].max())} trajectories{style.remark(about)}, bars are one standard error. (a)~At T~=~10, in the order "
        f"of the legend: {', '.join(n(x, 4) for x in last)}. (b)~Independent copies: the variance in one gain is multiplied "
        f"by {n(growth)} from 1 to 20 for the score function, not at all for the pathwise gradient. (c)~J is not the best "
        f"constant: its variance is {', '.join(n(x) for x in J)} times the least at T~=~1, 5, 20. (d)~At std {n(std)} the "
        f"value baseline leaves {n(small[VALUE])}, a pair with mirrored action noise {n(small[MIRRORED])}, with both "
        f"{n(small[VALUE_MIRRORED])}, next to {n(small[PATH])} pathwise: what process noise puts into returns is the same "
        "in both rollouts of a pair. (e)~No noise but the actions', loop at its margin: with the quadratic baseline of least "
        f"variance a score function has {gains} times the variance of the pathwise gradient. (f)~(kurtosis~−~1)~×~10$^4$, as "
        "measured; a kurtosis of 100 is uncertain by tens of percent itself."
    )
