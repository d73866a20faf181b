"""What no estimator made of trajectories goes below, and what a differentiable simulator is worth (study: floor)."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from figures import style

STUDY = "floor"
MESSAGE = "Trajectories alone have a floor; a differentiable simulator goes below it where process noise is large"
LOOKS = {  # what an estimator must know -> how it looks
    "trajectories": style.Look("#c0392b", "o", ()),
    "fitted critic": style.Look("#9b4f96", "p", ()),
    "oracle": style.Look("#9b4f96", "p", ()),
    "simulator": style.Look("#10305c", "v", ()),
    "other data": style.Look("#757575", "h", ()),
    "the form of the dynamics": style.Look("#009e73", "D", ()),
}
HEADINGS = {
    "trajectories": "trajectories alone",
    "oracle": "an exact critic in place of returns: an oracle",
    "simulator": "derivatives of the simulator",
    "other data": "rollouts with mirrored noise",
    "the form of the dynamics": "that the dynamics are linear",
}
LABELS = {
    "score function": "score function",
    "reward to go, value baseline": "reward to go, value function",
    "reparameterization, mixed with reward to go": "pathwise, mixed with value function",
    "reparameterization, mirrored actions": "pathwise, mirrored actions",
    "reparameterization, score control": "pathwise, score as control variate",
    "reparameterization": "pathwise",
    "generalized advantage, .9": r"generalized advantage, $\lambda=0.9$",
    "generalized advantage, 0": r"generalized advantage, $\lambda=0$",
    "doubly robust": "doubly robust",
    "doubly robust, fitted critic": "doubly robust, fitted critic (measured)",
    "all actions, fitted critic": "all actions, fitted critic (limit)",
    "system identification": "system identification (limit)",
}
FLOORS = {"tree bound": ("-", "tree"), "markov bound": ((0, (5, 1.5)), "Markov")}
LEARNERS = {
    "plug-in": style.Look("#10305c", "o", ()),
    "pooled plug-in": style.Look("#009e73", "D", (3.5, 1.2, 1, 1.2)),
    "one step, two folds": style.Look("#e69f00", "s", (6, 1.5)),
    "fitted all actions": style.Look("#9b4f96", "p", (1.4, 1.1)),
}
DASHES = {0: (1.4, 1.1), 1: (), 2: (6, 1.5)}  # of horizons, in order
ROW, NAMES, DOTS, SIDE, GAP = 0.176, 2.62, 2.3, 5.72, 0.86  # inches


def draw(results):
    """Return the figure."""
    rows = {part: results.rows[results.rows["part"] == part] for part in results.rows["part"].unique()}
    heights, headings, bottom = places(rows["ladder"])
    height = max(ROW * bottom + 0.1, 5.4)
    figure, (whole,) = style.frame(1, height, MESSAGE, describe(rows, results.about), ())
    low, inch = whole.get_position().y0, whole.get_position().height / height
    whole.remove()

    def panel(left, wide, under, tall):
        return figure.add_axes([left / style.WIDTH, low + under * inch, wide / style.WIDTH, tall * inch])

    half, right = (height - GAP) / 2, 0.985 * style.WIDTH
    small = (right - SIDE - 0.62) / 2
    main = panel(NAMES, DOTS, 0, height)
    others = panel(SIDE, right - SIDE - 0.75, half + GAP, half), panel(SIDE, small, 0, half)
    others += (panel(right - small, small, 0, half),)
    bar = panel(right - 0.62, 0.1, half + GAP, half)
    ladder(main, rows["ladder"], heights, headings, bottom)
    phases(others[0], bar, rows["phase"], rows["contour"])
    learners(others[1], rows["N"])
    behaviours(others[2], rows["behaviour"])
    legend(figure)
    labels = (
        "variance of one rollout",
        "pathwise / Markov bound",
        "with nothing known",
        "another behaviour",
    )
    style.finish(figure, [main, *others], labels)
    main.spines["left"].set_visible(False)
    return figure


# ---- a: the ladder -----------------------------------------------------------------------------------------------


def places(rows):
    """Return {estimator: y}, {y: heading} and the y below the last; the largest first within what is known."""
    heights, headings, bottom = {}, {}, 0.0
    for kind, heading in HEADINGS.items():
        kinds = (kind, "fitted critic") if kind == "oracle" else (kind,)
        here = rows[rows["knows"].isin(kinds)].sort_values("value", ascending=False, kind="stable")
        if len(here):
            headings[bottom] = heading
            heights |= {name: bottom + 1 + k for k, name in enumerate(here["estimator"])}
            bottom += len(here) + 1.4
    return heights, headings, bottom


def ladder(axis, rows, heights, headings, bottom):
    """Draw each estimator at its variance, and the floors."""
    known = rows.set_index("estimator")
    for name, (dash, label) in FLOORS.items():
        at = known.loc[name, "value"]
        axis.axvline(at, color=style.INK, linewidth=1, linestyle=dash, zorder=1)
        align, shift = ("left", 3) if label == "tree" else ("right", -3)
        place = (at, 0), (shift, 1), axis.get_xaxis_transform(), "offset points"
        axis.annotate(label, *place, ha=align, va="bottom", size=8)
    for name, y in heights.items():
        row = known.loc[name]
        axis.axhline(y, color="#e6e6e6", linewidth=0.6, zorder=0)
        axis.errorbar(row["value"], y, xerr=row["stderr"], linestyle="none", zorder=3, **mark(row["knows"]))
        beside(axis, y, LABELS.get(name, name), 0.3)
    for y, text in headings.items():
        beside(axis, y, text, 0.15, color=style.QUIET, style="italic")
    axis.set(xscale="log", xmargin=0.06, ylim=(bottom - 0.2, -0.6), xlabel="variance of dJ/dK")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.tick_params(axis="y", length=0, labelleft=False)


def mark(kind):
    """Return the keywords of a point by what its estimator must know."""
    own = LOOKS[kind]
    if kind == "fitted critic":
        return {"marker": own.marker, "color": own.colour, "markersize": 5.4, "markerfacecolor": "white"}
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.5}
    return {"marker": own.marker, "color": own.colour, "markersize": 5.4} | edge


def beside(axis, y, text, indent, **look):
    """Write a text left of the panel, `indent` inches from the margin."""
    place = (0, y), ((indent - NAMES) * 72, 0), axis.get_yaxis_transform(), "offset points"
    axis.annotate(text, *place, ha="left", va="center", size=8, annotation_clip=False, **look)


def legend(figure):
    """Explain the marks."""
    words = {
        "fitted critic": "a fitted critic",
        "oracle": "an exact critic",
        "simulator": "the simulator",
    }
    words |= {"trajectories": "knows trajectories", "other data": "mirrored noise"}
    words |= {"the form of the dynamics": "linear dynamics"}
    handles = [Line2D([], [], label=words[kind], linestyle="none", **mark(kind)) for kind in LOOKS]
    style.legend(figure, handles)


# ---- b: the phase diagram ----------------------------------------------------------------------------------------


def phases(axis, bar, rows, contours):
    """Draw the ratio for one horizon, where it is 1 for all, and the two laws of that."""
    horizons = sorted(contours["horizon"].unique())
    T = middle(horizons)
    table = rows[rows["horizon"] == T].pivot(index="noise", columns="std", values="value")
    shades = np.log10(table.to_numpy())
    norm = TwoSlopeNorm(0, min(shades.min(), -0.1), max(shades.max(), 0.1))
    light = LinearSegmentedColormap.from_list(  # not the darkest: words are written on it
        "light", colormaps["PuOr"](np.linspace(0.86, 0.14, 257))
    )
    drawn = axis.pcolormesh(
        table.columns, table.index, shades, cmap=light, norm=norm, shading="gouraud", rasterized=True
    )
    colours = axis.figure.colorbar(drawn, cax=bar)
    decades = range(int(np.ceil(shades.min())), int(shades.max()) + 1)
    colours.set_ticks(list(decades), labels=[rf"$10^{{{k}}}$" if k else "1" for k in decades])
    colours.outline.set_visible(False)
    bar.tick_params(length=2)
    for k, horizon in enumerate(horizons):
        line = contours[(contours["horizon"] == horizon) & (contours["estimator"] == "contour")].sort_values("std")
        axis.plot(line["std"], line["value"], color=style.INK, linestyle=dash(k, horizons), label=f"1, T = {horizon}")
    std = np.array([table.columns.min(), table.columns.max()])
    for name, power, scale in (("large noise", 2, 0.25), ("small noise", 4, 1.0)):
        law = scale * value(contours, T, name)
        axis.plot(std, law * std**power, color="white", linewidth=2.2, zorder=2)
        axis.plot(std, law * std**power, color=style.QUIET, linewidth=0.9, zorder=2)
    law = 0.25 * value(contours, T, "large noise")
    axis.annotate(r"$\propto\,$std$^2$", (0.16, law * 0.16**2), (-6, 5), "data", "offset points", ha="right", size=8)
    law = value(contours, T, "small noise")
    axis.annotate(
        r"$\propto\,$std$^4$", (1.08, min(law * 1.08**4, 2)), (-3, 4), "data", "offset points", ha="right", size=8
    )
    axis.set(xscale="log", yscale="log", xlim=std, ylim=(table.index.min(), table.index.max()))
    axis.set(xlabel="std of the policy", ylabel="process noise W")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.text(0.05, 0.93, "the simulator wins", transform=axis.transAxes, size=8, va="top")
    axis.text(0.97, 0.06, "trajectories win", transform=axis.transAxes, size=8, ha="right")
    axis.legend(
        frameon=False, fontsize=7.5, loc="upper left", bbox_to_anchor=(0.0, 0.88), handlelength=2.4, borderpad=0.2
    )


def middle(horizons):
    """Return the horizon whose grid is drawn."""
    return horizons[min(1, len(horizons) - 1)]


def dash(k, horizons):
    """Return the line style of a horizon."""
    own = DASHES[k] if len(horizons) > 1 else ()
    return (0, own) if own else "-"


def value(rows, T, name):
    """Return the one value of a horizon and an estimator."""
    return float(rows[(rows["horizon"] == T) & (rows["estimator"] == name)]["value"].iloc[0])


# ---- c: estimators that know nothing -----------------------------------------------------------------------------


def learners(axis, rows):
    """Draw N times the mean squared error over N, and the limits."""
    unit = rows[rows["estimator"] == "plug-in"]["limit"].iloc[0]
    for limit in sorted(set(rows["limit"])):
        axis.axhline(limit / unit, color=style.QUIET, linewidth=0.9, zorder=0)
    for name, own in LEARNERS.items():
        here = rows[rows["estimator"] == name].sort_values("count")
        line = {"color": own.colour, "linestyle": (0, own.dash) if own.dash else "-", "linewidth": 1.2}
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.4, "markersize": 4}
        bars = {"elinewidth": 0.9, "marker": own.marker, "label": name}
        axis.errorbar(here["count"], here["value"] / unit, yerr=here["stderr"] / unit, **line, **edge, **bars)
    axis.set(xscale="log", xlabel="trajectories N", ylabel="N $\\times$ squared error / bound")
    axis.set_yscale("log")
    seen = rows["value"] / unit
    axis.set_ylim(0.9 * min(seen.min(), rows["limit"].min() / unit), 1.1 * seen.max())
    axis.yaxis.set_major_locator(NullLocator())
    axis.yaxis.set_minor_locator(NullLocator())
    ticks = [x for x in (0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20) if axis.get_ylim()[0] < x < axis.get_ylim()[1]]
    axis.set_yticks(ticks, labels=[f"{x:g}" for x in ticks])
    axis.legend(frameon=False, fontsize=7.5, loc="upper right", handlelength=2.2, borderpad=0, labelspacing=0.3)


# ---- d: behaviours -----------------------------------------------------------------------------------------------


def behaviours(axis, rows):
    """Draw the variance by the std of the behaviour, in units of that on policy."""
    horizons = sorted(rows["horizon"].unique())
    for k, T in enumerate(horizons):
        here = rows[rows["horizon"] == T].sort_values("std")
        unit = here[here["std"] == 1.0]["value"].iloc[0]
        axis.plot(here["std"], here["value"] / unit, color="#10305c", linestyle=dash(k, horizons), label=f"T = {T}")
        best = here[here["estimator"] == "best"].iloc[0]
        axis.plot(best["std"], best["value"] / unit, **mark("simulator") | {"marker": "o"}, zorder=3)
    edge = rows["limit"].iloc[0]
    axis.axvspan(0.5, edge, color="#dddddd", zorder=0, linewidth=0)
    axis.annotate("infinite", (edge, 0.5), (-4, 0), axis.get_xaxis_transform(), "offset points", ha="right", va="center",
                  size=8, rotation=90, color=style.QUIET)  # fmt: skip
    axis.axhline(1, color=style.QUIET, linewidth=0.9, zorder=0)
    axis.axvline(1, color=style.QUIET, linewidth=0.9, zorder=0)
    axis.set(
        xlim=(0.5, 1.8),
        ylim=(0.2, 10),
        yscale="log",
        xlabel="std: behaviour / policy",
        ylabel="variance / on policy",
    )
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_yticks([0.5, 1, 2, 5, 10], labels=["0.5", "1", "2", "5", "10"])
    axis.legend(frameon=False, fontsize=7.5, loc="lower right", handlelength=2.4, borderpad=0)


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n, known = style.number, rows["ladder"].set_index("estimator")["value"]
    horizons = sorted(rows["contour"]["horizon"].unique())
    T = middle(horizons)
    large, small = (value(rows["contour"], T, f"{name} noise") for name in ("large", "small"))
    grid = rows["phase"][rows["phase"]["horizon"] == T]["value"]
    learned = rows["N"]
    limits = learned.groupby("estimator")["limit"].first() / learned[learned["estimator"] == "plug-in"]["limit"].iloc[0]
    levels = (
        rows["levels"].set_index("estimator")["value"] / learned[learned["estimator"] == "plug-in"]["limit"].iloc[0]
    )
    best = rows["behaviour"][rows["behaviour"]["estimator"] == "best"]
    found = [f"{n(r['std'])} for T~=~{r['horizon']}" for _, r in best.iterrows()]
    return (
        f"(a)~Scalar linear-quadratic problem, T~=~{int(rows['ladder']['horizon'].iloc[0])}. Nothing that is unbiased "
        f"whatever the environment is below the tree bound, {n(known['tree bound'], 4)}, which doubly robust attains; "
        "estimators that fit their critics to many trajectories cannot go below the Markov bound, "
        f"{n(known['markov bound'], 4)}. The value function as baseline has {n(known['reward to go, value baseline'])}, the "
        f"pathwise gradient {n(known['reparameterization'])}. All actions with the exact critic: {n(known['all actions'])}; "
        f"with one fitted to the same data: {n(known['all actions, fitted critic'])}. System identification, which knows that "
        f"the dynamics are linear: {n(known['system identification'])}. (b)~T~=~{T}: the pathwise gradient is "
        f"below the Markov bound on {100 * np.mean(grid < 1):.0f}~% of the plane. Black: where they are equal; grey: the laws "
        f"W~=~{n(large, 2)}~(b~std)² and {n(small, 2)}~std⁴. (c)~A table, rewards known{style.remark(about)}; 1 is the Markov "
        "bound. The pooled estimator, which knows that the law is the same at all times, tends to "
        f"{n(limits['pooled plug-in'], 2)}; fitted all actions to {n(limits['fitted all actions'])} (with the exact critic, at "
        f"any N: {n(levels['all actions'], 2)}; reward to go with the exact value function: "
        f"{n(levels['reward to go, value baseline'])}). (d)~Importance-weighted reward to go, value baseline: the best "
        f"behaviour has a std of {', '.join(found)} times the policy's. Variances are per trajectory, not per second."
    )
