"""Grad log pi: a gradient made of arrows, batches of them, and a loss that means nothing (study: grad_log_pi)."""

import numpy as np
from matplotlib.lines import Line2D

from figures import style

STUDY = "grad_log_pi"
MESSAGE = "The gradient is a mean of arrows; baselines change its error alone; the value of the loss means nothing"
ARMS = ("#10305c", "#009e73", "#c0392b")
BATCH = {
    "no baseline": style.Look("#c0392b", "o", ()),
    "mean of the batch": style.Look("#e69f00", "s", (6, 1.5)),
    "leave one out": style.Look("#009e73", "D", (3.5, 1.2, 1, 1.2)),
    "exact baseline": style.Look("#10305c", "v", (1.4, 1.1)),
}
# The logits' gradients sum to zero: two coordinates in their plane, at right angles.
ACROSS, UP = np.array([1.0, 0.0, -1.0]) / 2**0.5, np.array([-1.0, 2.0, -1.0]) / 6**0.5


def draw(results):
    """Return the figure."""
    rows = results.rows
    arrows, batch, ascent = (rows[rows["part"] == part] for part in ("arrows", "batch", "ascent"))
    figure, axes = style.frame(3, 2.9, MESSAGE, describe(arrows, batch, ascent), ())
    figure.subplots_adjust(wspace=0.27)
    legend(figure, arrows)
    plane(axes[0], arrows)
    errors(axes[1], batch)
    losses(axes[2], ascent)
    style.finish(figure, axes, ("arrows of the three actions", "batches of B", "an ascent"))
    return figure


def coordinates(row, name):
    """Return the two coordinates of a vector of logits' derivatives."""
    vector = np.array([row[f"{name}_{k}"] for k in range(3)])
    return vector @ ACROSS, vector @ UP


def plane(axis, rows):
    """Draw the arrows of each action, as wide as it is probable, and their mean."""
    for _, row in rows.iterrows():
        x, y = coordinates(row, "arrow")
        plain = row["baseline"] == "none"
        shape = {"arrowstyle": "-|>", "color": ARMS[int(row["arm"])], "shrinkA": 0, "shrinkB": 0}
        shape |= {"linewidth": 1.0 + 4.0 * row["probability"], "alpha": 0.45 if plain else 1.0}
        shape |= {"linestyle": (0, (2.0, 1.2)) if plain else "-"}
        if np.hypot(x, y) > 0:
            axis.annotate("", (x, y), (0, 0), arrowprops=shape)
        else:
            axis.plot(0, 0, "o", color=shape["color"], markersize=5, alpha=0.6)
    x, y = coordinates(rows.iloc[0], "gradient")
    shape = {"arrowstyle": "-|>", "color": style.INK, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", (x, y), (0, 0), arrowprops=shape)
    axis.set(
        xlim=(-0.75, 1.05),
        ylim=(-0.75, 1.85),
        aspect="equal",
        xlabel="logit 1 against logit 3",
        ylabel="logit 2 against both",
    )
    axis.axhline(0, color=style.QUIET, linewidth=0.5, zorder=0)
    axis.axvline(0, color=style.QUIET, linewidth=0.5, zorder=0)


def legend(figure, rows):
    """Explain the arrows."""
    means = rows[rows["baseline"] == "mean"]
    names = [f"pays {r['pays']:.0f}, probability {style.number(r['probability'])}" for _, r in means.iterrows()]
    handles = [Line2D([], [], color=c, linewidth=2.5, label=name) for c, name in zip(ARMS, names, strict=True)]
    handles += [Line2D([], [], color=style.QUIET, linestyle=(0, (2.0, 1.2)), label="without baseline")]
    handles += [Line2D([], [], color=style.INK, linewidth=2, label="gradient")]
    style.legend(figure, handles)


def errors(axis, rows):
    """Draw error and bias over the size of a batch."""
    for name, look in BATCH.items():
        here = rows[rows["estimator"] == name].sort_values("size")
        drawn = {"color": look.colour, "linestyle": (0, look.dash) if look.dash else "-"}
        mark = {"marker": look.marker, "markersize": 4.2, "markeredgecolor": "white", "markeredgewidth": 0.5}
        axis.plot(here["size"], here["error"], label=name, **drawn, **mark)
        if (here["bias"] > 1e-9).all():
            axis.plot(here["size"], here["bias"], color=look.colour, linewidth=0.9)
            at = here.iloc[len(here) // 2]
            axis.annotate(
                "its bias, 1 / B", (at["size"], at["bias"]), (-4, -9), textcoords="offset points", size=8, ha="right"
            )
    axis.set(xscale="log", yscale="log", xlabel="batch B", ylabel="error / norm of the gradient")
    axis.set_xticks([2, 4, 8, 16, 32, 64], ["2", "4", "8", "16", "32", "64"])
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=7.5, loc="lower left", borderaxespad=0.2, handlelength=2.6, labelspacing=0.3)


def losses(axis, rows):
    """Draw the objective and both losses along the ascent."""
    rows = rows.sort_values("step")
    last = rows.iloc[-1]
    axis.plot(rows["step"], rows["objective"], color=style.INK, linewidth=2.0)
    axis.plot(rows["step"], rows["loss"], color=BATCH["no baseline"].colour)
    axis.plot(rows["step"], rows["shifted_loss"], color=BATCH["exact baseline"].colour, linestyle=(0, (1.4, 1.1)))
    for text, column, offset in (
        ("objective J", "objective", -11),
        ("loss", "loss", 7),
        ("loss, all rewards less 2", "shifted_loss", -11),
    ):
        place = {"textcoords": "offset points", "size": 8, "ha": "right", "va": "center"}
        axis.annotate(text, (last["step"], last[column]), (-2, offset), **place)
    axis.axhline(0, color=style.QUIET, linewidth=0.5, zorder=0)
    axis.set(xlabel="step along the gradient", ylabel="reward; loss", xlim=(0, last["step"]))


def describe(arrows, batch, ascent):
    """Return the caption; every number in it comes from the results."""
    n, gradient = style.number, [arrows.iloc[0][f"gradient_{k}"] for k in range(3)]
    at = batch[batch["size"] == 8].set_index("estimator")
    first, last = ascent.iloc[0], ascent.iloc[-1]
    return (
        "Three arms and a softmax policy; everything is exact. (a)~One sampled action gives the arrow "
        "(G~−~b)~grad~ln~pi(a), as "
        "wide as it is probable; their mean is the gradient "
        f"({', '.join(n(x) for x in gradient)}) of all actions, with b~=~0 (dashed; the arm that pays nothing has no "
        f"arrow) and with "
        "the mean reward as b, which makes the arrows shorter and their mean no other. (b)~Root mean square error of a "
        "batch's "
        f"gradient: at B~=~8 {n(at.loc['no baseline', 'error'])} without a baseline, {n(at.loc['leave one out', 'error'])} "
        f"less the mean of the others, {n(at.loc['exact baseline', 'error'])} less the exact mean; the mean of the batch "
        f"itself shrinks the gradient by {n(at.loc['mean of the batch', 'bias'])}. (c)~Along the ascent J rises from "
        f"{n(first['objective'])} to {n(last['objective'])}. The value of the loss −E[G~ln~pi] goes from "
        f"{n(first['loss'])} up to {n(ascent['loss'].max())} and down to {n(last['loss'])}; with rewards that are all "
        f"smaller by 2, which is "
        f"the same problem, from {n(first['shifted_loss'])} the other way."
    )
