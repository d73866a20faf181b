"""Five estimators on three costs of one action, in mean and in std, after Mohamed et al. 2020 (study: mohamed_2020)."""

from figures import style

STUDY = "mohamed_2020"
LABELS = {
    "score function": "score function",
    "score function, baseline J": "baseline: mean of f",
    "score function, optimal constant": "optimal baseline",
    "measure-valued": "measure-valued, coupled",
    "reparameterization": "pathwise",
}
SCORE, MEAN, BEST, MEASURE, PATH = LABELS
# The score function has three looks here: bare, and with either baseline those of the figures' baselines.
LOOKS = {name: style.look(name) for name in LABELS}
LOOKS |= {MEAN: style.KINDS["mean"], BEST: style.KINDS["value"]}
COSTS = {"quadratic": "$(x-k)^2$", "exponential": "$e^{-kx^2}$", "cosine": "$\\cos kx$"}
LIMITS = {
    ("quadratic", "mean"): (0.6, 2e3),
    ("quadratic", "std"): (2, 4e3),
    ("exponential", "mean"): (1e-3, 2),
    ("exponential", "std"): (3e-3, 2),
    ("cosine", "mean"): (2e-3, 20),
    ("cosine", "std"): (3e-2, 20),
}
MESSAGE = "No estimator is best everywhere, and the mean as a baseline can be worse than none"


def draw(results):
    """Return the figure."""
    rows = results.rows
    handles = [style.handle(LOOKS[name], label) for name, label in LABELS.items()]
    figure, axes = style.grid(2, 3, 2.15, MESSAGE, describe(rows, results.about), handles)
    figure.subplots_adjust(wspace=0.2)
    for parameter, line in zip(("mean", "std"), axes, strict=True):
        for cost, axis in zip(COSTS, line, strict=True):
            here = rows[(rows["part"] == "cost") & (rows["cost"] == cost) & (rows["parameter"] == parameter)]
            for name in LABELS:
                style.exact_and_measured(axis, here, "k", name, LOOKS[name])
            axis.set(ylim=LIMITS[cost, parameter], xlabel="k" if parameter == "std" else None)
            axis.set_xscale("linear" if cost == "quadratic" else "log")
            style.logarithmic(axis, 1)
            crossings(axis, rows, cost, parameter)
            if cost == "cosine":
                style.plain_ticks(axis, (0.5, 1, 2, 5))
            elif cost == "exponential":
                style.plain_ticks(axis, (0.1, 1, 10))
        line[0].set_ylabel("variance of one sample")
    style.finish(figure, axes.flat, [f"{label}, gradient in {x}" for x in ("mean", "std") for label in COSTS.values()])
    return figure


def crossings(axis, rows, cost, parameter):
    """Mark where the pathwise gradient has the variance of another one."""
    here = rows[(rows["part"] == "crossing") & (rows["cost"] == cost) & (rows["parameter"] == parameter)]
    for _, row in here[here["estimator"] == PATH].iterrows():
        axis.plot(row["k"], row["exact_variance"], "o", markersize=9, mfc="none", mec=style.INK, mew=0.9, zorder=5)


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    at = rows[rows["part"] == "cost"].set_index(["cost", "parameter", "estimator", "k"])["exact_variance"].sort_index()
    crossing = rows[rows["part"] == "crossing"].set_index(["cost", "parameter", "estimator", "equals"])["k"]

    def crosses(cost, parameter, name, first=PATH):
        return ", ".join(n(x, 4) for x in crossing.loc[[(cost, parameter, first, name)]])

    worst = at["exponential", "std", MEAN].iloc[-1] / at["exponential", "std", SCORE].iloc[-1]
    return (
        r"Gradients of E f(x), x normal with mean and std 1, in either. Lines: exact variance of one sample; points: measured "
        f"on {n(rows['count'].max())} samples{style.remark(about)}, bars are one standard error. "
        "Circles: where the pathwise gradient has the variance of another. The curves agree with Figures 2 and 3 of "
        "Mohamed, Rosca, Figurnov and Mnih (2020), numerical integrals without the green line. (a)~Pathwise and "
        f"measure-valued cross at k~=~{crosses('quadratic', 'mean', MEASURE)}. (b)~Pathwise crosses the optimal baseline "
        f"at k~=~{crosses('exponential', 'mean', BEST)} and the bare score function at {crosses('exponential', 'mean', SCORE)}"
        f", (e)~at {crosses('exponential', 'std', BEST)} and {crosses('exponential', 'std', SCORE)}. (c)~It crosses the score "
        f"function at {crosses('cosine', 'mean', SCORE)}, (f)~at {crosses('cosine', 'std', SCORE)}; at k~=~$\\pi$ the coupled "
        "measure-valued derivative in the mean has no variance at all. The usual baseline, the mean of f, is not safe: in~(e) "
        f"at k~=~10 it multiplies the variance by {n(worst, 2)}. A measure-valued sample takes two evaluations of f for each "
        "parameter, the others take one."
    )
