"""What linear-quadratic problems hide: who wins where, and how pathwise gradients come to lose (study: lessons)."""

import numpy as np
from matplotlib.lines import Line2D

from figures import style

STUDY = "lessons"
SCORE, MEAN, PATH, MIXED = (
    "reward to go, value baseline",
    "reward to go, mean baseline",
    "reparameterization",
    "reparameterization, mixed with reward to go",
)
MESSAGE = "On linear-quadratic problems the pathwise gradient wins; elsewhere it may lose by any factor, or be wrong"
GROUPS = {  # heading -> kinds of problems
    "linear-quadratic": ("linear-quadratic",),
    "nonlinear": ("smooth", "kinks"),
    "with jumps, which derivatives do not see": ("jumps",),
    "with a choice of actions, which has no derivative": ("choice",),
}
WRONG = "#9a9a9a"  # the colour of what is biased
ROW = 0.176  # inches
NAMES, PANEL, RATIO = 2.32, 2.84, 0.6  # inches from left to right: names, dots, ratios of panel a
SIDE, GAP, LEAST = 6.58, 0.74, 4.6  # inches: where the sweeps begin, between two of them, and of all three


def draw(results):
    """Return the figure."""
    overview = results.rows[results.rows["part"] == "overview"]
    sweeps = {part: results.rows[results.rows["part"] == part] for part in ("horizon", "width", "frequency")}
    table = summary(overview)
    heights, headings, bottom = places(table)
    height = max(ROW * bottom + 0.1, LEAST)
    caption = describe(table, overview, sweeps, results.about)
    figure, (whole,) = style.frame(1, height, MESSAGE, caption, ())
    low, inch = whole.get_position().y0, whole.get_position().height / height
    whole.remove()
    main = figure.add_axes([NAMES / style.WIDTH, low, PANEL / style.WIDTH, height * inch])
    each, wide = (height - 2 * GAP) / 3, 0.985 - SIDE / style.WIDTH
    sides = [figure.add_axes([SIDE / style.WIDTH, low + k * (each + GAP) * inch, wide, each * inch]) for k in (2, 1, 0)]
    dots(main, overview, table, heights)
    for y, text in headings.items():
        beside(main, y, text, 0.15, color=style.QUIET, style="italic")
    main.set_ylim(bottom - 0.2, -0.6)
    for axis, (part, rows) in zip(sides, sweeps.items(), strict=True):
        {"horizon": chaos, "width": ramp, "frequency": ripples}[part](axis, rows)
        axis.set_ylabel("variance")
    legend(figure)
    labels = ("noise-to-signal ratio", "chaotic map", "ramp of a reward", "ripples on a valley, at the worst mean")
    style.finish(figure, [main, *sides], labels)
    main.spines["left"].set_visible(False)
    return figure


def summary(rows):
    """Return one row for each problem, by the ratio of variances: noise-to-signal ratios, kind, and the bias if any."""
    index = ["problem", "detail"]
    table = rows.pivot_table(index=index, columns="estimator", values="nsr", sort=False)
    table["score"] = table[SCORE].fillna(table[MEAN]) if MEAN in table else table[SCORE]
    table["ratio"] = table[PATH] / table["score"]
    path = rows[rows["estimator"] == PATH].set_index(index)[["exact_bias", "bias_in_stderrs"]]
    first = rows.groupby(index, sort=False)[["kind"]].first()
    return table.join(first).join(path).sort_values("ratio", kind="stable")


def places(table):
    """Return {problem: y}, {y: heading} and the y below the last."""
    heights, headings, bottom = {}, {}, 0.0
    for heading, kinds in GROUPS.items():
        here = table[table["kind"].isin(kinds)]
        if len(here):
            headings[bottom] = heading
            heights |= {at: bottom + 1 + k for k, at in enumerate(here.index)}
            bottom += len(here) + 1.45
    return heights, headings, bottom


# ---- a: the overview ---------------------------------------------------------------------------------------------


def dots(axis, rows, table, heights):
    """Draw the noise-to-signal ratios of all problems."""
    values = table[["score", PATH, MIXED]].replace(0, np.nan).to_numpy()
    low, high = np.nanmin(values) / 4, np.nanmax(values) * 4
    for at, y in heights.items():
        row = table.loc[at]
        wins = PATH if row["ratio"] < 1 else SCORE
        wrong = row["exact_bias"] > 0
        axis.axhline(y, color="#e6e6e6", linewidth=0.6, zorder=0)
        beside(axis, y, ", ".join(at).replace("-1", style.number(-1)), 0.3)
        judge(axis, y, row, wins)
        if row["ratio"] >= 0:
            colour = WRONG if wrong else style.look(wins).colour
            span = [row["score"], max(row[PATH], low)]
            axis.plot(span, [y, y], color=colour, linewidth=1.8, alpha=0.45, solid_capstyle="butt", zorder=1)
        for _, r in rows[(rows["problem"] == at[0]) & (rows["detail"] == at[1])].iterrows():
            dot(axis, r, y, low, wrong and r["estimator"] in (PATH, MIXED))
    axis.set(xscale="log", xlim=(low, high), xlabel="variance / |gradient|$^2$ of one trajectory")
    axis.set_xticks([10.0**k for k in range(-2, 8, 2)])
    axis.tick_params(axis="y", length=0, labelleft=False)
    place = (1, 1), (RATIO * 72, 7), "axes fraction", "offset points"
    axis.annotate("pathwise : score function", *place, ha="right", size=8, color=style.QUIET)


def dot(axis, r, y, low, wrong):
    """Draw one estimator of one problem, exact and measured; what does not vary at all at the left end."""
    name = r["estimator"]
    if r["exact_variance"] > 0:
        axis.plot(r["exact_variance"] / r["square"], y, **tick())
    look, bars = point(name), style.bars(name)
    if wrong:
        look |= {"markeredgecolor": WRONG} if name == MIXED else {"markerfacecolor": WRONG}
        bars |= {"ecolor": WRONG}
    options = bars | look | {"clip_on": r["nsr"] > 0}
    axis.errorbar(max(r["nsr"], low), y, xerr=r["nsr_stderr"], **options)


def judge(axis, y, row, wins):
    """Write the ratio of variances, or what is wrong, at the right."""
    if row["exact_bias"] > 0:
        text, colour = f"bias {100 * row['exact_bias']:.0f}\N{THIN SPACE}%", style.QUIET
    elif not row["ratio"] >= 0:
        text, colour = "none", style.QUIET
    else:
        text, colour = plain(row["ratio"]), style.look(wins).colour
    place = (1, y), (RATIO * 72, 0), axis.get_yaxis_transform(), "offset points"
    look = {
        "size": 8,
        "weight": "bold",
        "color": colour,
        "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    }
    axis.annotate(text, *place, ha="right", va="center", annotation_clip=False, **look)


def plain(x):
    """Return a number to two digits, without powers of ten."""
    return f"{x:#.2g}".rstrip(".") if x < 100 else f"{float(f'{x:.2g}'):,.0f}".replace(",", "\N{THIN SPACE}")


def beside(axis, y, text, indent, **look):
    """Write a text left of the panel, `indent` inches from the margin."""
    place = (0, y), ((indent - NAMES) * 72, 0), axis.get_yaxis_transform(), "offset points"
    axis.annotate(text, *place, ha="left", va="center", size=8, annotation_clip=False, **look)


def point(name):
    """Return the keywords of an estimator's points: a mixture's are rings around what it follows."""
    if name != MIXED:
        return style.point(name)
    edge = {"markerfacecolor": "none", "markeredgecolor": style.look(name).colour, "markeredgewidth": 0.9}
    return style.point(name) | edge | {"marker": "o", "markersize": 7}


def tick():
    """Return the keywords of an exact value."""
    return {"marker": "|", "markersize": 10, "markeredgewidth": 1, "color": style.INK, "linestyle": "none", "zorder": 2}


def legend(figure):
    """Explain the marks."""
    none = {"linestyle": "none"}
    handles = [
        Line2D([], [], label="pathwise", **style.line(PATH), **style.point(PATH)),
        Line2D([], [], label="score function, value baseline", **style.line(SCORE), **style.point(SCORE)),
        Line2D([], [], label="mean baseline", **style.line(MEAN), **style.point(MEAN)),
        Line2D([], [], label="mixture", **none, **point(MIXED)),
        Line2D([], [], label="biased", **none, **style.point(PATH) | {"markerfacecolor": WRONG}),
        Line2D([], [], label="exact", **tick()),
    ]
    style.legend(figure, handles)


# ---- b, c, d: the sweeps -----------------------------------------------------------------------------------------


def chaos(axis, rows):
    """Draw the chaotic map over horizons, and by what its pathwise variance grows."""
    for name in (MEAN, PATH):
        style.exact_and_measured(axis, rows, "horizon", name)
    path = exact(rows, PATH)
    last = path.index[-1]
    T = np.array([0.45, 1]) * last
    y = 30 * path[last] * growth(rows) ** (T - last)
    label = f"\N{MULTIPLICATION SIGN}{style.number(growth(rows))} per step"
    style.reference(axis, T, y, label, (0.66 * last, 40 * path[last] * growth(rows) ** (-0.3 * last)), "right")
    style.logarithmic(axis)
    axis.set(xlim=(0, 1.03 * last), xlabel="horizon T (linear axis)", ylim=(None, 100 * path[last]))
    axis.set_xticks(range(0, int(last) + 1, 4 if last > 8 else 2))


def ramp(axis, rows):
    """Draw the ramp over its width, and what becomes of it at a width of 0."""
    for name in (SCORE, PATH):
        style.exact_and_measured(axis, rows, "value", name)
    path = exact(rows, PATH)
    low = path.index[0]
    x = np.array([1.5, 15]) * low
    y = 0.22 * path[low] * low / x
    style.reference(axis, x, y, "1 / width", (1.35 * x[0], 0.33 * y[0]), "right")
    axis.set(xscale="log", xlabel="width (std of the action: 0.2)")
    style.logarithmic(axis)
    axis.set(ylim=(path.iloc[-1] / 4, 6 * path[low]), xlim=(low / 3, 1.4 * path.index[-1]))
    floor = axis.get_ylim()[0]
    edge = style.point(PATH) | {
        "markerfacecolor": WRONG,
        "markersize": 6,
        "clip_on": False,
        "linestyle": "none",
        "zorder": 5,
    }
    axis.plot(axis.get_xlim()[0], floor, **edge)
    text = "width 0: variance 0, mean 0"
    axis.annotate(text, (axis.get_xlim()[0], floor), (8, 4), "data", "offset points", size=8, color=style.QUIET)


def ripples(axis, rows):
    """Draw the ripples over their frequency, and where the two variances cross."""
    for name in (SCORE, PATH):
        style.exact_and_measured(axis, rows, "value", name)
    path, at = exact(rows, PATH), crossing(rows)
    last = path.index[-1]
    x = np.array([0.06, 0.9]) * last
    y = 5 * path[last] * (x / last) ** 2
    style.reference(axis, x, y, "w$^2$", (0.2 * last, 16 * path[last] * 0.04), "right")
    axis.set(xscale="log", xlabel="frequency w")
    style.logarithmic(axis)
    axis.axvline(at, ymax=0.62, color=style.QUIET, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0.5)
    axis.annotate(f"w = {style.number(at, 2)}", (at, 0), (4, 5), ("data", "axes fraction"), "offset points", size=8)


def exact(rows, name):
    """Return the exact variances of an estimator over the value of a sweep."""
    return rows[rows["estimator"] == name].set_index("value")["exact_variance"].sort_index()


def growth(rows):
    """Return the factor by which the pathwise variance of the chaotic map grows per step in the end."""
    return rows["growth"].iloc[0]


def crossing(rows):
    """Return the frequency at which the variances are equal, from straight lines between logarithms."""
    ratio = np.log(exact(rows, PATH) / exact(rows, SCORE))
    return float(np.exp(np.interp(0.0, ratio, np.log(ratio.index))))


# ---- caption -----------------------------------------------------------------------------------------------------


def describe(table, overview, sweeps, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    lq, other = (table[table["kind"].isin(GROUPS[name])] for name in ("linear-quadratic", "nonlinear"))
    turning = other.groupby(lambda at: at[0].partition(",")[0])["ratio"].agg(["min", "max"])
    turning = turning[(turning["min"] < 1) & (turning["max"] > 1)]
    most = turning["max"].idxmax()
    chaos, width, waves = sweeps["horizon"], sweeps["width"], sweeps["frequency"]
    path, score, narrow = exact(chaos, PATH), exact(chaos, MEAN), exact(width, PATH)
    first, last = path.index[0], path.index[-1]
    slope = np.log(narrow.iloc[1] / narrow.iloc[0]) / np.log(narrow.index[1] / narrow.index[0])
    return (
        "(a)~Variance of one trajectory\N{RIGHT SINGLE QUOTATION MARK}s gradient, summed over the parameters, over the squared "
        f"norm of the true gradient; measured on {n(overview['count'].min())} to {n(overview['count'].max())} trajectories"
        f"{style.remark(about)}. Bars bound the standard error; where they are long, rare trajectories make the variance, and "
        "the truth may lie further right. Numbers: variance of the pathwise gradient over that of the score function, in the "
        f"colour of the one that varies less. They are at most {n(lq['ratio'].max(), 2)} on all {len(lq)} linear-quadratic "
        f"problems; on the {len(other)} other continuous ones {n(other['ratio'].min(), 2)} to {n(other['ratio'].max(), 2)}, "
        f"{(other['ratio'] > 1).sum()} of them above 1; {len(turning)} problems turn with one parameter, {most} from "
        f"{n(turning['min'][most], 2)} to {n(turning['max'][most], 2)}. The mixture of least variance is as good as the better "
        "one, or better; where a reward jumps, it follows the one that is precise and wrong. (b)~The mean squared derivative "
        f"grows by a factor of {n(growth(chaos))} per step, that of a typical path by "
        f"{n(chaos['typical_growth'].iloc[0])}. From T~=~{n(first)} to {n(last)} the pathwise variance grows by "
        f"{n(path[last] / path[first], 2)}, that of the score function (baseline: mean return to go) by "
        f"{n(score[last] / score[first], 2)}. (c)~The narrower the ramp, the fewer trajectories see its slope: exponent "
        f"{n(slope)}. On a step none do. (d)~The largest variance over mean actions from {n(-10)} to 10, as published: "
        f"pathwise {n(exact(waves, PATH).iloc[-1])} at w~=~{n(waves['value'].max())}. Lines in b, c and d are exact."
    )
