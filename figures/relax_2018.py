"""REBAR on the toy of RELAX, where a constant baseline leaves nothing (study: relax_2018)."""

from figures import style

STUDY = "relax_2018"
LABELS = {
    "score function": "REINFORCE",
    "REBAR, temperature 1": "REBAR, temperature 1",
    "REBAR, temperature 100": "temperature 100",
    "score function, baseline J": "less J",
    "score function, leave one out": "leave one out of two",
}
PLAIN, WARM, HOT, MEAN, LEAVE = LABELS
LOOKS = {PLAIN: style.look(PLAIN), WARM: style.KINDS["critic"], HOT: style.KINDS["slope"]}
LOOKS |= {MEAN: style.KINDS["mean"], LEAVE: style.KINDS["value"]}
TARGETS = {0.45: (), 0.499: (6, 1.5)}
MESSAGE = "On its toy REBAR helps where it turns into a constant baseline, and the best constant leaves nothing"


def draw(results):
    """Return the figure."""
    rows = results.rows
    handles = [style.handle(LOOKS[name], label) for name, label in LABELS.items()]
    figure, axes = style.grid(1, 3, 2.4, MESSAGE, describe(rows, results.about), handles)
    figure.subplots_adjust(wspace=0.27)
    for axis, t in zip(axes[0], TARGETS, strict=False):
        here = rows[(rows["part"] == "probability") & (rows["t"] == t)]
        for name in LABELS:
            style.exact_and_measured(axis, here, "x", name, LOOKS[name])
        axis.set(xlabel="probability p of b = 1", ylabel="variance of one sample", ylim=(1e-8, 1))
        style.logarithmic(axis)
    for t, dash in TARGETS.items():
        here = rows[(rows["part"] == "temperature") & (rows["t"] == t)].sort_values("x")
        axes[0, 2].plot(
            here["x"], here["exact_variance"], color=LOOKS[WARM].colour, linestyle=(0, dash) if dash else "-"
        )
        axes[0, 2].axvline(1 / (0.5 - t), color=style.QUIET, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
        place = (1 / (0.5 - t) * 1.25, 0.05)
        axes[0, 2].annotate(f"t = {t:g}", place, color=style.QUIET, size=8.5)
    axes[0, 2].set(xscale="log", xlabel="temperature of REBAR", ylabel="variance at p = 1/2", ylim=(1e-8, 1))
    style.logarithmic(axes[0, 2])
    style.finish(figure, axes[0], [f"t = {t:g}" for t in TARGETS] + ["over the temperature"])
    return figure


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    at = rows.set_index(["part", "t", "estimator", "x"])["exact_variance"].sort_index()
    last = rows.loc[rows["part"] == "temperature", "x"].max()
    plain, far = at["probability", 0.499, PLAIN, 0.5], at["temperature", 0.499, "REBAR", last]
    return (
        r"E (b~−~t)$^2$, b~=~1 with probability p; gradient in its logit. Lines are exact; points are measured on "
        f"{n(rows['count'].max())} samples{style.remark(about)}, bars are one standard error. The best constant "
        "baseline has no variance at any p, the mean J none at p~=~1/2. REINFORCE at t~=~.499, p~=~1/2: "
        f"{n(plain, 6)}, where Figure 1 of Grathwohl et al. (2018) should start. REBAR (Tucker et al. 2017) has the eta of "
        "least variance here. What it subtracts covaries with REINFORCE through the relaxed cost at 1/2 alone, "
        r"(1/2~−~t)$^2$. (c)~Hence it helps at temperatures above 1/(1/2~−~t) (dotted), where the relaxation is flat: "
        f"{n(far, 2)} at {n(last)}. RELAX learns its relaxation, and is not drawn: 0 is what it can reach, and what a "
        "constant has. Curves of learning are not compared."
    )
