"""Scores against random directions: variances, and Recht's double integrator (study: zeroth_order)."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from figures import style

STUDY = "zeroth_order"
MESSAGE = "Random directions beat scores where two returns may share their noise, and lose where they may not"
SCORE, ONE, TWO = "score function", "one point", "two points"
LOOKS = {
    SCORE: style.look(SCORE),
    ONE: style.Look("#757575", "h", (4, 2)),
    TWO: style.Look("#009e73", "D", (3.5, 1.2, 1, 1.2)),
}
METHODS = {
    "policy gradient": style.Look("#c0392b", "o", ()),
    "policy gradient, Adam": style.Look("#e69f00", "s", (6, 1.5)),
    "random search": style.Look("#009e73", "D", (3.5, 1.2, 1, 1.2)),
    "uniform sampling": style.Look("#757575", "h", (1.4, 1.1)),
}


def draw(results):
    """Return the figure."""
    rows = results.rows
    looks = {"score function, policy gradient": LOOKS[SCORE], "... Adam": METHODS["policy gradient, Adam"]}
    looks |= {"one point": LOOKS[ONE], "two points, random search": LOOKS[TWO], "uniform": METHODS["uniform sampling"]}
    handles = [Line2D([], [], label=name, **style.line(x), **style.point(x)) for name, x in looks.items()]
    figure, axes = style.grid(2, 2, 2.35, MESSAGE, describe(rows, results.about), handles, gap=0.8)
    axes = axes.ravel()
    variances = rows[rows["part"] == "variance"]
    horizons = sorted(variances["horizon"].unique())
    for axis, horizon in zip(axes, horizons, strict=False):
        panel(axis, variances[variances["horizon"] == horizon])
        axis.set_ylabel("variance of one sample")
    queries(axes[2], rows[rows["part"] == "queries"])
    curves(axes[3], rows[rows["part"] == "double integrator"])
    titles = [f"scalar LQ, T = {T:.0f}" for T in horizons]
    style.finish(figure, axes, [*titles, "scalar LQ, T = 10: ascent", "double integrator, T = 10"])
    return figure


def queries(axis, rows):
    """Draw the returns that a loss takes: theory's lines, measured points, and two slopes."""
    for name, look in LOOKS.items():
        own = rows[rows["estimator"] == name].sort_values("epsilon")
        axis.plot(own["epsilon"], own["predicted"], zorder=2, **style.line(look))
        axis.plot(own["epsilon"], own["rollouts"], zorder=3, linestyle="none", **style.point(look))
    x = np.array([rows["epsilon"].min(), rows["epsilon"].max()])
    end = {name: rows[rows["estimator"] == name].sort_values("epsilon")["predicted"].iloc[-1] for name in LOOKS}
    style.reference(axis, x, 0.3 * end[TWO] * x[1] / x, "slope −1", (x[0] * 1.5, 0.09 * end[TWO] * x[1] / x[0]))
    steep = x[1] / np.array([8.0, 1.0])
    style.reference(axis, steep, 3 * end[ONE] * (x[1] / steep) ** 2, "slope −2", (steep[0] * 2.6, 150 * end[ONE]))
    axis.set(xscale="log", yscale="log", xlabel="loss $J^*-J$ that is to be reached", ylabel="returns")
    style.plain_ticks(axis, (0.0003, 0.001, 0.003, 0.01, 0.03))


def panel(axis, rows):
    """Draw variances over the width, and where the bias is a twentieth."""
    for name, look in LOOKS.items():
        own = rows[rows["estimator"] == name].sort_values("width")
        if name == SCORE:
            axis.axhline(own["exact_variance"].item(), zorder=2, **style.line(look))
            continue
        exact = own[own["exact_variance"].notna()]
        axis.plot(exact["width"], exact["exact_variance"], zorder=2, **style.line(look))
        axis.errorbar(
            own["width"], own["variance"], yerr=own["variance_stderr"], **style.bars(look), **style.point(look)
        )
    width = biased(rows, 0.05)
    axis.axvline(width, color=style.QUIET, linewidth=0.9, zorder=1)
    note(axis, "bias 5%", (width, 0.97), ("data", "axes fraction"), (-3, -4))
    axis.set(xscale="log", yscale="log", xlabel="width $h$ of the perturbation of K")
    axis.set_xticks([0.02, 0.05, 0.1, 0.2, 0.4], ["0.02", "0.05", "0.1", "0.2", "0.4"])
    axis.xaxis.set_minor_formatter(NullFormatter())


def biased(rows, share):
    """Return the width at which the smoothed gradient is off by a share of the gradient, by its logarithm."""
    own = rows[rows["estimator"] == ONE].sort_values("width")
    bias = own["relative_bias"].abs()
    return float(np.exp(np.interp(np.log(share), np.log(bias), np.log(own["width"]))))


def curves(axis, rows):
    """Draw median costs above the best, and the middle four fifths of trials."""
    best = rows["optimum"].iloc[0]
    for name, look in METHODS.items():
        own = rows[(rows["estimator"] == name) & (rows["rollouts"] > 0)].sort_values("rollouts")
        gap = [own[c].fillna(np.inf) - best for c in ("low", "median", "high")]
        axis.plot(own["rollouts"], gap[1].clip(1e-6, 1e3), zorder=3, **style.line(look))
        axis.plot(
            own["rollouts"].iloc[::6], gap[1].clip(1e-6, 1e3).iloc[::6], zorder=4, linestyle="none", **style.point(look)
        )
        axis.fill_between(
            own["rollouts"], gap[0].clip(1e-6, 1e3), gap[2].clip(1e-6, 1e3), color=look.colour, alpha=0.13, lw=0
        )
    axis.axhline(10.0 - best, color=style.QUIET, linewidth=0.9, zorder=1)
    note(axis, "no control", (1, 10 - best), ("axes fraction", "data"), (-2, 5))
    axis.set(xscale="log", yscale="log", xlim=(7, 5500), ylim=(1e-4, 60))
    axis.set(xlabel="rollouts", ylabel="cost above the best constant gain")


def note(axis, text, at, coordinates, apart):
    """Write a word beside a thin line."""
    options = {"color": style.QUIET, "size": 8, "ha": "right", "va": "center", "textcoords": "offset points"}
    axis.annotate(text, at, apart, coordinates, **options)


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    variances, ends = rows[rows["part"] == "variance"], rows[rows["part"] == "double integrator"]
    words = []
    for horizon, here in variances.groupby("horizon"):
        score = here.loc[here["estimator"] == SCORE, "exact_variance"].item()
        one = here[here["estimator"] == ONE]
        near = one.iloc[(one["width"] - biased(here, 0.05)).abs().argmin()]
        two = here[here["estimator"] == TWO].sort_values("width").iloc[0]
        words.append(
            f"at T~=~{horizon:.0f} the score function has {n(score)}, one point {n(near['variance'])} at h~=~"
            f"{n(near['width'])} (bias {n(100 * near['relative_bias'], 2)}%), two points {n(two['variance'])} at "
            f"h~=~{n(two['width'])}"
        )
    asked = rows[rows["part"] == "queries"]
    apart = (asked["rollouts"] / asked["predicted"] - 1).abs()
    some = asked[asked["estimator"] == ONE]["epsilon"].min()
    returns = asked[asked["epsilon"] == some].set_index("estimator")["rollouts"]
    costs = {}
    for name in METHODS:
        own = ends[ends["estimator"] == name].sort_values("rollouts")
        near = own[own["median"] < 1.1 * own["optimum"]]
        when = f"after {near['rollouts'].iloc[0]:.0f}" if len(near) else "not at all"
        costs[name] = f"{name} {when} (in the end {n(own['median'].iloc[-1], 4)})"
    factors = ends[ends["rollouts"] > 100].groupby("estimator", sort=False)["rate"].agg(["min", "max"]).dropna()
    steps = ", ".join(f"{name} {n(x['min'])} to {n(x['max'])}" for name, x in factors.iterrows())
    one = ends.iloc[0]
    return (
        f"(a, b)~Variance of one sample of the gradient: lines exact, points measured on {n(variances['count'].max())} "
        f"samples each{style.remark(about)}, bars one standard error. Fazel et al. hold it plausible that REINFORCE varies "
        f"less than one return in a random direction: {'; '.join(words)}. So it does, wherever the bias of one point is "
        "small; two points on common noise have far less than either, and that is what a simulator is for. (c)~Returns "
        f"until the mean loss of {asked['trials'].max():.0f} ascents is below the abscissa, at one rate, in batches for "
        "which theory leaves half of it in the end, width $h=\\sqrt{\\epsilon}/2$: lines theory, points measured, "
        f"within {n(100 * apart.max(), 2)}%. Malik et al. prove and see slopes of −2 and −1 for one and two points; the "
        f"score function, which they leave open, has −1: for a loss of {n(some)} it takes {n(returns[SCORE])} returns, one "
        f"point {n(returns[ONE])}, two {n(returns[TWO])} (a batch has four at least: hence the bend on the right). "
        f"(d)~Recht's comparison: cost of the policy without exploration, medians of {one['trials']:.0f} "
        f"trials{style.remark(about)}, shades the middle four fifths; best constant gain {n(one['optimum'], 7)}. Within a "
        f"tenth of it in rollouts: {', '.join(costs.values())}. The step is for each method and budget the best of seven, "
        f"a tenth to ten times Recht's, in trials of their own (from 100 rollouts on, in units of his: {steps}); the "
        "baseline of the policy gradients is the mean of the other returns of a batch."
    )
