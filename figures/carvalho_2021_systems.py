"""Errors and angles of gradients from several actions a state, after Carvalho et al. 2021 (study: carvalho_2021_systems)."""

from figures import style

STUDY = "carvalho_2021_systems"
LABELS = {
    "score function": "score function",
    "measure-valued": "measure-valued, coupled",
    "reparameterization": "pathwise, through Q",
}
MESSAGE = "With an exact critic the pathwise gradient needs one action; the others pay for each digit a hundredfold"


def draw(results):
    """Return the figure."""
    rows = results.rows
    handles = [style.handle(style.look(name), label) for name, label in LABELS.items()]
    systems = list(rows["system"].unique())
    figure, axes = style.grid(2, len(systems), 1.95, MESSAGE, describe(rows, results.about), handles, gap=0.62)
    figure.subplots_adjust(wspace=0.24)
    for line, merit, label in zip(axes, ("error", "cosine"), ("relative error", "cosine distance"), strict=True):
        for axis, name in zip(line, systems, strict=True):
            panel(axis, rows[rows["system"] == name], merit)
        line[0].set_ylabel(label)
        everything = rows.loc[rows["looks"] > 0, [merit, f"exact_{merit}"]].to_numpy()
        for axis in line:
            axis.set_ylim(everything.min() / 3, everything.max() * 3)
    for axis in axes[1]:
        axis.set_xlabel("actions in each state")
    style.finish(figure, axes.flat, systems * 2)
    return figure


def panel(axis, rows, merit):
    """Draw one merit of one system: lines to leading order, sampled means, and what the states alone leave."""
    for name in LABELS:
        own, look = rows[rows["estimator"] == name].sort_values("looks"), style.look(name)
        axis.plot(own["looks"], own[f"exact_{merit}"], zorder=2, **style.line(look))
        bars = style.bars(look) | style.point(look)
        axis.errorbar(own["looks"], own[merit], yerr=own[f"{merit}_stderr"], **bars)
    alone = rows.loc[rows["estimator"] == "all actions", f"exact_{merit}"].item()
    axis.axhline(alone, color=style.QUIET, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
    axis.set(xscale="log")
    style.logarithmic(axis, 1 if merit == "error" else 2)
    first, last = rows["looks"].min(), rows["looks"].max()
    style.plain_ticks(axis, sorted({first, (first * last) ** 0.5 // first * first, last}))


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    looked = rows[rows["looks"] > 0]
    gains = []
    for name in rows["system"].unique():
        here = looked[(looked["system"] == name) & (looked["samples"] == looked["samples"].min())]
        at = here.set_index("estimator")["exact_square"]
        gains.append(n(at["score function"] / at["reparameterization"], 2))
    norms = ", ".join(n(x, 6) for x in looked.groupby("actions", sort=False)["norm"].first())
    values = ", ".join(n(x, 6) for x in looked.groupby("actions", sort=False)["value"].first())
    off = looked[looked["exact_cosine"] < 0.01]
    apart = max((off[m] / off[f"exact_{m}"] - 1).abs().max() for m in ("error", "cosine"))
    return (
        "The paper's two measures of a gradient from one rollout (| |g'| − |g| | / |g| above, 1 − cos(g', g) below) with an "
        "exact critic, over the number of actions that are looked at in each state of its four systems (start at 9 in every "
        "state, no process noise, std 0.1, discount 0.99, 1000 steps). Points: means of "
        f"{looked['runs'].max():.0f} runs (the paper: 25) in plain NumPy{style.remark(about)}, bars one standard error. Lines: "
        f"exact covariances, carried to both measures to leading order (points are off by up to {n(100 * apart, 2)}%, noise "
        "included, where the cosine distance is below 0.01, by more where estimates are poor). Dotted: what the states alone "
        "leave, however many actions. N rollouts divide an error by √N, a cosine distance by N. With the fewest actions the "
        f"squared error |g' − g|² of the score function is {', '.join(gains)} times that of the pathwise gradient. Values of "
        f"the start, V = {values}, and |g| = {norms} are those of the paper's code; its curves we do not have as numbers. A "
        "wrong critic turns the order around: see the figure on the frequency of its error."
    )
