"""Three readers and the estimators that they may choose from (study: which_estimator)."""

from matplotlib.lines import Line2D

from figures import style

STUDY = "which_estimator"
MESSAGE = "What an estimator costs: trajectories for a relative error of one, for three readers"
KNOWS = {  # what an estimator must know -> how it looks
    "rewards and scores": style.Look("#4a98d4", "o", ()),
    "several rollouts": style.Look("#009e73", "D", ()),
    "derivatives of the simulator": style.Look("#10305c", "v", ()),
    "an exact critic": style.Look("#9b4f96", "p", ()),
    "biased": style.Look("#9a9a9a", "s", ()),
}
CLASS = {
    "pathwise": "derivatives of the simulator",
    "central differences": "several rollouts",
    "leave one out": "several rollouts",
    "score function, leave one out": "several rollouts",
    "less the group's mean": "biased",
    "standardised group": "biased",
}


def draw(results):
    """Return the figure."""
    rows = results.rows
    readers = list(rows["reader"].unique())
    figure, axes = style.frame(len(readers), 2.5, MESSAGE, describe(rows, results.about), ())
    figure.subplots_adjust(wspace=1.25, left=0.2)
    for axis, reader in zip(axes, readers, strict=True):
        dots(axis, rows[rows["reader"] == reader].reset_index(drop=True))
    handles = [
        Line2D([], [], linestyle="", label=name, marker=x.marker, color=x.colour, markersize=5)
        for name, x in KNOWS.items()
    ]
    style.legend(
        figure, [*handles, Line2D([], [], linestyle="", marker="|", markersize=9, color=style.INK, label="exact")]
    )
    style.finish(figure, axes, readers)
    for axis in axes:
        axis.spines["left"].set_visible(False)
    return figure


def look(name):
    """Return how an estimator looks: by what it must know."""
    return KNOWS[CLASS.get(name, "an exact critic" if "exact critic" in name else "rewards and scores")]


def dots(axis, rows):
    """Draw a line for each estimator."""
    for y, row in rows.iterrows():
        own = look(row["estimator"])
        axis.axhline(y, color="#e4e4e4", linewidth=0.8, zorder=0)
        if row["exact_ratio"] == row["exact_ratio"]:
            axis.plot(row["exact_ratio"], y, "|", color=style.INK, markersize=11, markeredgewidth=1.3, zorder=2)
        mark = {"marker": own.marker, "color": own.colour, "markersize": 5.5, "markeredgecolor": "white"}
        axis.errorbar(row["ratio"], y, xerr=row["ratio_stderr"], ecolor=own.colour, elinewidth=1, zorder=3, **mark)
    axis.set_yticks(range(len(rows)), rows["estimator"])
    axis.set(xscale="log", ylim=(len(rows) - 0.4, -0.6), xlabel="noise-to-signal ratio")
    low, high = rows["ratio"].min(), rows["ratio"].max()
    axis.set_xlim(low / 1.6, high * 1.6)
    axis.minorticks_off()
    if high < 10 * low:
        ticks = [x for x in (0.5, 1.0, 2.0, 5.0, 10.0) if low / 1.6 < x < high * 1.6]
        axis.set_xticks(ticks, [style.number(x) for x in ticks])
    axis.tick_params(axis="y", length=0)


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    at = rows.set_index(["reader", "estimator"])
    biased = [
        f"{name}, {n(at.loc[('language model', name), 'mean_over_gradient'])} of the gradient"
        for name in CLASS
        if look(name) is KNOWS["biased"]
    ]
    plain, path = (at.loc[("control", name), "exact_ratio"] for name in ("score function", "pathwise"))
    single, group = (at.loc[("language model", name), "exact_ratio"] for name in ("score function", "leave one out"))
    return (
        "Variance of a sample times the rollouts that it takes, over the squared norm of its mean: how many trajectories "
        "make a "
        f"mean with a relative error of one. Measured on {n(rows['count'].max())} samples each{style.remark(about)}, bars "
        f"are one "
        "standard error; ticks are exact. Control: a scalar linear-quadratic problem of ten steps; "
        f"the derivative of the simulator is worth a factor of {n(plain / path)}. Textbook: Sutton and Barto's short "
        f"corridor, fifty steps. "
        f"Language model: one prompt, an answer that is right with probability 0.3, groups of eight, whose baseline takes "
        f"{n(single)} to "
        f"{n(group)}. Grey: biased ({'; '.join(biased)})."
    )
