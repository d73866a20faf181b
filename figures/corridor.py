"""REINFORCE on the short corridor, step by step, and what its step size does (study: corridor)."""

from matplotlib.lines import Line2D

from figures import style

STUDY = "corridor"
MESSAGE = "The short corridor: the mean path sets the pace, the noise of the gradient how large a step may be"
LOOKS = {
    "2^-12": style.Look("#c0392b", "o", (6, 1.5)),
    "2^-13": style.Look("#10305c", "v", ()),
    "2^-14": style.Look("#4a98d4", "^", (1.4, 1.1)),
    "2^-9, baseline": style.Look("#009e73", "D", (3.5, 1.2, 1, 1.2)),
}
OURS = "2^-13, per episode"
OPTIMUM = -11.656854249492381


def draw(results):
    """Return the figure."""
    rows = results.rows
    figure, axes = style.frame(3, 2.7, MESSAGE, describe(rows, results.about), ())
    figure.subplots_adjust(wspace=0.3)
    handles = [Line2D([], [], label=label(name), **style.line(x), **style.point(x)) for name, x in LOOKS.items()]
    handles.append(Line2D([], [], color=style.QUIET, linewidth=0.9, label="optimum"))
    style.legend(figure, handles)
    for name in ("2^-14", "2^-13", "2^-12"):
        returns(axes[0], rows, name)
    for name in ("2^-13", "2^-9, baseline"):
        returns(axes[1], rows, name)
    gaps(axes[2], rows)
    for axis in axes[:2]:
        axis.axhline(OPTIMUM, color=style.QUIET, linewidth=0.9, zorder=1)
        axis.set(xlim=(0, 1000), ylim=(-90, 0), xlabel="episode")
    axes[0].set_ylabel("return of an episode, mean")
    style.finish(figure, axes, ["REINFORCE", "with a baseline", "against the mean path"])
    return figure


def label(name):
    """Return what a curve is called."""
    power, _, rest = name.partition(",")
    return rf"$\alpha=2^{{{power[2:]}}}$" + (f",{rest} ($\\alpha_w=2^{{-6}}$)" if rest else "")


def returns(axis, rows, name):
    """Draw mean returns with their standard errors."""
    own = rows[rows["curve"] == name]
    middle = (own["episode"] + own["episode"].shift(-1, fill_value=1000)) / 2
    axis.plot(middle, own["mean_return"], zorder=2, **style.line(LOOKS[name]))
    axis.fill_between(
        middle,
        own["mean_return"] - own["stderr"],
        own["mean_return"] + own["stderr"],
        color=LOOKS[name].colour,
        alpha=0.25,
        lw=0,
    )


def gaps(axis, rows):
    """Draw J* - J: the mean path as lines, medians and the band of the middle four fifths of runs."""
    for name in ("2^-14", "2^-13", "2^-12"):
        own, look = rows[(rows["curve"] == name) & (rows["episode"] > 0)], LOOKS[name]
        axis.plot(own["episode"], OPTIMUM - own["predicted"], zorder=2, **style.line(look))
        some = own.iloc[::3]
        apart = OPTIMUM - some[["high", "median", "low"]].to_numpy().T
        bars = abs(apart[[0, 2]] - apart[1])
        axis.errorbar(some["episode"], apart[1], yerr=bars, **style.bars(look), **style.point(look))
    ours = rows[(rows["curve"] == OURS) & (rows["episode"] > 0)].iloc[1::3]
    hollow = {
        "linestyle": "none",
        "marker": "s",
        "markersize": 5.5,
        "markerfacecolor": "none",
        "markeredgecolor": style.INK,
    }
    axis.plot(ours["episode"], OPTIMUM - ours["median"], zorder=4, **hollow)
    axis.set(xscale="log", yscale="log", xlim=(4, 1100), ylim=(0.05, 200), xlabel="episode", ylabel="$J^*-J$")


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    last = {name: own.iloc[-1] for name, own in rows.groupby("curve")}
    near = {name: own.iloc[(own["episode"] - 100).abs().argmin()] for name, own in rows.groupby("curve")}
    lost, ours, book = last["2^-12"], near[OURS], near["2^-13"]
    variance = ours["objective_stderr"] ** 2 + book["objective_stderr"] ** 2
    apart = abs(ours["objective"] - book["objective"]) / variance**0.5
    return (
        f"Sutton and Barto (2018), figures 13.1 (a) and 13.2 (b): theta changes after each step of an episode. Means of "
        f"{lost['runs']:.0f} runs{style.remark(about)} over windows of episodes, shades are one standard error; all start at "
        f"p~=~.05, grey is the best that p can do, {n(OPTIMUM, 4)}. A good step size comes near it, a smaller one is late, a "
        f"larger one is faster where it survives: with $\\alpha=2^{{-12}}$, {lost['lost']:.0f} of the runs are lost for good "
        f"(an episode takes more than 10000 steps; they are left out of the mean), with $2^{{-13}}$ "
        f"{last['2^-13']['lost']:.0f}, with $2^{{-14}}$ {last['2^-14']['lost']:.0f}. With a baseline a step 16 times as long "
        f"as $2^{{-13}}$ loses {last['2^-9, baseline']['lost']:.0f}. (c)~The loss: lines "
        r"are the mean path $dh/dk=2\alpha\,dJ/dh$ of the difference of the two logits, filled points medians, bars the middle "
        f"four fifths of all runs. Squares: a whole episode at a time, by the library; J~=~{n(ours['objective'], 4)} before "
        f"episode {ours['episode']:.0f} against {n(book['objective'], 4)} step by step, {n(apart, 2)} standard errors apart. "
        f"In the end the noise of the gradient leaves a loss of {n(last['2^-13']['plateau'], 2)} at $2^{{-13}}$, in proportion "
        f"to the step size: a thousand episodes do not get there."
    )
