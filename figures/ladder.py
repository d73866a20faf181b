"""What each rung of the ladder of estimators buys, and where folk wisdom fails (study: ladder)."""

from typing import NamedTuple

from matplotlib.lines import Line2D

from figures import style

STUDY = "ladder"
UNIT = "reparameterization"
MESSAGE = "Rung by rung the variance falls by orders of magnitude; but where only actions cost, folk wisdom fails"
BUDGET = "reward to go, mirrored actions"  # two rollouts that may be worth more than an exact value function
ROW = 0.172  # inches
LEFT = 2.08  # inches for the names


FLOORS = {"tree_bound": ("-", "tree", "left", 2), "markov_bound": ((0, (5, 1.5)), "Markov", "right", -2)}


class Group(NamedTuple):
    """Estimators that need the same: a heading, and {name: label under that heading}."""

    heading: str
    labels: dict


GROUPS = (
    Group("returns alone", {"evolution strategies": "evolution strategies, mirrored"}),
    Group(
        "score $\\times$ whole return",
        {
            "score function": "no baseline",
            "score function, baseline J": "baseline J",
            "score function, optimal constant": "optimal constant",
            "score function, leave one out": "leave one out of four",
        },
    ),
    Group(
        "score $\\times$ reward to go",
        {
            "reward to go": "no baseline",
            "reward to go, mirrored actions": "mirrored actions",
            "reward to go, baseline J": "baseline J",
            "reward to go, mean baseline": "mean to go",
            "reward to go, optimal over time": "optimal over time",
            "reward to go, value baseline": "value function",
            "reward to go, optimal quadratic": "optimal quadratic in the state",
        },
    ),
    Group(
        "score $\\times$ exact critic",
        {
            "action control variate": "as action control variate",
            "generalized advantage, .9": r"generalized, $\lambda=0.9$",
            "generalized advantage, 0": r"generalized, $\lambda=0$",
            "advantage": "advantage",
        },
    ),
    Group(
        "derivative of an exact critic",
        {"value gradient": "at the action (value gradient)", "all actions": "mean over all actions"},
    ),
    Group(
        "derivative of the model",
        {
            UNIT: "reparameterization",
            "reparameterization, mirrored actions": "mirrored actions",
            "reparameterization, score control": "score as control variate",
            "reparameterization, mixed with reward to go": "mixed with value baseline",
        },
    ),
)
TITLES = {
    "scalar": "scalar, T = {horizon}",
    "two double integrators": "4 states, 2 actions, T = {horizon}",
    "only actions cost": "only actions cost, T = {horizon}",
}
WORDS = {  # a rung and what it is held to improve on
    "reward to go, baseline J": "reward to go over the whole return, both less J",
    "reward to go, value baseline": "the value function over the mean to go",
    "value gradient": "the derivative of an exact critic over that of the model",
    "all actions": "all actions over the one that was drawn",
    "reparameterization, mirrored actions": "reparameterization with mirrored actions over that without",
}


def draw(results):
    """Return the figure."""
    table = summary(results.rows)
    systems, heights = list(table.index.unique("system")), {}
    caption = describe(table, results) + style.explained(map(style.marked, table.index.unique("estimator")))
    headings, bottom = {}, 0.0
    for group in GROUPS:
        names = [name for name in group.labels if name in table.index.unique("estimator")]
        headings[bottom] = group.heading
        heights |= {name: bottom + 1 + k for k, name in enumerate(names)}
        bottom += len(names) + 1.45
    figure, axes = style.frame(len(systems), ROW * bottom + 0.1, MESSAGE, caption, (), sharey=True)
    figure.subplots_adjust(left=LEFT / style.WIDTH, wspace=0.1)
    legend(figure)
    failed = failures(table)
    for axis, system in zip(axes, systems, strict=True):
        panel(axis, table.loc[system], heights, {name: x for (where, name), x in failed.items() if where == system})
        floors(axis, table.loc[system], bottom - 0.2)
        axis.set(xscale="log", xmargin=0.07, ylim=(bottom - 0.2, -0.6), xlabel="variance (reparameterization: 1)")
        axis.tick_params(axis="y", length=0, labelleft=False)
    for y, text in headings.items():
        beside(axes[0], y, text, 0.15, color=style.QUIET, style="italic")
    labels = {name: style.marked(name, label) for group in GROUPS for name, label in group.labels.items()}
    for name, y in heights.items():
        beside(axes[0], y, labels[name], 0.3)
    style.finish(figure, axes, [TITLES[system].format(**table.loc[system].iloc[0]) for system in systems])
    for axis in axes:
        axis.spines["left"].set_visible(False)
    return figure


def beside(axis, y, text, indent, **look):
    """Write a text left of the panels, `indent` inches from the margin."""
    place = (0, y), ((indent - LEFT) * 72, 0), axis.get_yaxis_transform(), "offset points"
    axis.annotate(text, *place, ha="left", va="center", size=8, annotation_clip=False, **look)


def summary(rows):
    """Return one row for each system and estimator: sums over the parameters, in units of that of reparameterization.

    The standard error of a sum is at most the sum of the standard errors: that is what bars show.
    """
    groups = rows.groupby(["system", "estimator"], sort=False)
    table = groups[["horizon", "improves_on", "rollouts", "nanoseconds"]].first()
    columns = ["exact_variance", "variance", "variance_stderr", "variance_times_rollouts", *FLOORS]
    sums = groups[columns].sum(min_count=1)
    unit = sums["exact_variance"].xs(UNIT, level="estimator").reindex(table.index, level="system")
    return table.assign(unit=unit).join(sums.div(unit, axis=0))


def failures(table):
    """Return {(system, estimator): what it is held to improve on} where it costs more, rollouts counted."""
    cost = table["variance_times_rollouts"]
    pairs = {at: other for at, other in table["improves_on"].items() if (at[0], other) in cost.index}
    return {at: other for at, other in pairs.items() if cost[at] > cost[at[0], other] * (1 + 1e-9)}


def panel(axis, here, heights, failed):
    """Draw the estimators of one system."""
    axis.axvline(1, color=style.QUIET, linewidth=0.9, zorder=0.5)
    cost = here["variance_times_rollouts"]
    for name, row in here.iterrows():
        y, colour = heights[name], style.look(name).colour
        axis.axhline(y, color="#e6e6e6", linewidth=0.6, zorder=0)
        if name in failed:
            failure(axis, cost[failed[name]], cost[name], y)
        if row["rollouts"] > 1:
            axis.plot([row["variance"], cost[name]], [y, y], color=colour, linewidth=0.8, zorder=1)
            hollow = {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1}
            axis.plot(cost[name], y, linestyle="none", zorder=4, **style.point(name) | hollow)
        axis.plot(row["exact_variance"], y, **tick())
        axis.errorbar(row["variance"], y, xerr=row["variance_stderr"], **style.bars(name), **style.point(name))


def floors(axis, here, bottom):
    """Draw the bounds of what trajectories alone can tell, where they are not 0."""
    for bound, (dash, label, align, shift) in FLOORS.items():
        at = here[bound].iloc[0]
        if at > 0:
            axis.axvline(at, color=style.INK, linewidth=0.9, linestyle=dash, zorder=0.6)
            axis.annotate(label, (at, bottom), (shift, 2), "data", "offset points", ha=align, va="bottom", size=7.5)


def failure(axis, promised, paid, y):
    """Draw a line from what a rung is held to improve on to what it costs, and write how much more that is."""
    axis.plot([promised, paid], [y, y], color=style.INK, linewidth=2, solid_capstyle="butt", zorder=2.5)
    text = f"\N{MULTIPLICATION SIGN}\N{HAIR SPACE}{style.number(paid / promised, 2)}"
    axis.annotate(text, (paid, y), (5.5, 0), "data", "offset points", va="center", size=8, weight="bold")


def tick():
    """Return the keywords of an exact variance."""
    return {"marker": "|", "markersize": 10, "markeredgewidth": 1, "color": style.INK, "linestyle": "none", "zorder": 2}


def legend(figure):
    """Explain the marks."""
    round_one = {"marker": "o", "markersize": 4.6, "linestyle": "none", "markeredgecolor": style.QUIET}
    handles = [
        Line2D([], [], label="exact", **tick()),
        Line2D([], [], label="measured", markerfacecolor=style.QUIET, **round_one),
        Line2D([], [], label="times rollouts, if a sample takes several", markerfacecolor="white", **round_one),
        Line2D([], [], label="above what it is held to improve on", color=style.INK, linewidth=2),
    ]
    style.legend(figure, handles)


def describe(table, results):
    """Return the caption; every number in it comes from the results."""
    n, cost = style.number, table["variance_times_rollouts"]
    letter = dict(zip(table.index.unique("system"), "abc", strict=False))

    def each(ratio):
        return ", ".join(f"{n(ratio(system))}~({letter[system]})" for system in letter)

    def over(system, name, other):
        return cost[system, name] / cost[system, other]

    value, found = "reward to go, value baseline", failures(table)
    bounds = {system: [table.loc[system, bound].iloc[0] for bound in FLOORS] for system in letter}
    floors_of = ", ".join(f"{' and '.join(map(n, x))}~({letter[s]})" for s, x in bounds.items() if max(x) > 0)
    broken = {name: [] for _, name in found}
    for (system, name), other in found.items():
        broken[name].append(f"{n(over(system, name, other))}~({letter[system]})")
    failed = [f"{WORDS[name]}, {', '.join(factors)}" for name, factors in broken.items()]
    time = table["nanoseconds"] / table["rollouts"]
    times = time / time.xs(UNIT, level="estimator").reindex(table.index, level="system")
    return (
        "Variance of one sample, summed over the parameters; that of reparameterization is "
        f"{each(lambda s: table.loc[s, 'unit'].iloc[0])}. Ticks are exact; points are measured on "
        f"{n(results.rows['count'].max())} samples each{style.remark(results.about)}, bars (smaller than the points) bound "
        "the standard error. Vertical lines: what trajectories alone can tell has at least the variance of the tree bound, if "
        "unbiased whatever the environment, and of the Markov bound, with critics fitted to many of them: "
        f"{floors_of} for each rollout, 0 where only actions are random. Below are derivatives of the model, mirrored noise, "
        "perturbed parameters, and oracles: exact critics in place of returns. A value function takes the score function down "
        "by factors of "
        f"{each(lambda s: over(s, 'score function', value))}; the derivative of the model takes that down by "
        f"{each(lambda s: over(s, value, UNIT))}. Mirrored actions and no baseline at all cost, in two rollouts, "
        f"{each(lambda s: over(s, BUDGET, value))} times as much as the value function in one. Black: folk wisdom fails, "
        f"rollouts counted, by factors: {'; '.join(failed)}. A sample of "
        f"reparameterization takes {each(lambda s: time[s, UNIT] / 1000)}~microseconds on one core; a rollout of the "
        f"others {n(times.min(), 2)} to {n(times.max(), 2)} times that, with fits."
    )
