"""Steps, ramps and walls: pathwise gradients that are precise and wrong, after Suh et al. 2022 (study: suh_2022)."""

import numpy as np

from figures import style

STUDY = "suh_2022"
LABELS = {
    "score function": "score function",
    "score function, noiseless baseline": r"zeroth order: less f($\theta$)",
    "reparameterization": "first order: pathwise",
}
SCORE, ZEROTH, PATH = LABELS
LOOKS = {SCORE: style.look(SCORE), ZEROTH: style.KINDS["mean"], PATH: style.look(PATH)}
MESSAGE = "At a jump the pathwise gradient looks precise and is wrong; on a steep ramp it is right and noisy"


def draw(results):
    """Return the figure."""
    rows = results.rows
    handles = [style.handle(LOOKS[name], label) for name, label in LABELS.items()]
    figure, axes = style.grid(2, 3, 2.1, MESSAGE, describe(rows, results.about), handles, gap=0.8)
    figure.subplots_adjust(wspace=0.3)
    means(axes[0, 0], rows[rows["part"] == "step"])
    axes[0, 0].set(xlabel=r"$\theta$", ylabel="mean gradient")
    spreads(axes[0, 1], rows[rows["part"] == "step"], (SCORE, ZEROTH))
    axes[0, 1].set(xlabel=r"$\theta$", ylabel="variance of one sample")
    spreads(axes[0, 2], rows[rows["part"] == "ramp"], LABELS)
    axes[0, 2].set(xlabel="width of the ramp", ylabel="variance of one sample", xscale="log")
    x = np.array([0.002, 0.03])
    style.reference(axes[0, 2], x, 4.5 / x, "1/width", (0.004, 350), "right")
    wall = rows[rows["part"] == "wall"]
    means(axes[1, 0], wall)
    axes[1, 0].set_xlabel(r"angle $\theta$")
    axes[1, 0].set_ylabel("mean gradient", labelpad=1)
    spreads(axes[1, 1], wall, (SCORE, ZEROTH, PATH))
    axes[1, 1].set(xlabel=r"angle $\theta$", ylabel="variance of one sample")
    errors(axes[1, 2], rows[rows["part"] == "error"])
    titles = ("step: mean gradient", "step: variance", r"ramp: variance at $\theta$ = 0")
    titles += ("wall: mean gradient", "wall: variance", "wall: error at the edge")
    style.finish(figure, axes.flat, titles)
    return figure


def means(axis, rows):
    """Draw the gradient, what pathwise gradients have as a mean, and measured means."""
    for name in (SCORE, PATH):
        here = rows[rows["estimator"] == name].sort_values("x")
        seen = here[here["count"] > 0]
        axis.plot(here["x"], here["exact_mean"], zorder=2, **style.line(LOOKS[name]))
        axis.errorbar(
            seen["x"], seen["mean"], yerr=seen["stderr"], **style.bars(LOOKS[name]), **style.point(LOOKS[name])
        )


def spreads(axis, rows, names):
    """Draw variances."""
    for name in names:
        style.exact_and_measured(axis, rows, "x", name, LOOKS[name])
    style.logarithmic(axis, 1)


def errors(axis, rows):
    """Draw the root of the mean squared error over the number of samples."""
    for name in (ZEROTH, PATH):
        here = rows[rows["estimator"] == name].sort_values("samples")
        axis.plot(here["samples"], here["exact_error"], **style.line(LOOKS[name]))
    axis.set(xscale="log", xlabel="samples N", ylabel="root mean squared error")
    style.logarithmic(axis, 1)


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    at = rows[rows["part"] != "error"].set_index(["part", "estimator", "x"])
    still, aside = at.loc[("step", SCORE, 0.0)], at.loc[("step", SCORE, 0.3)]
    less = at.loc[("step", ZEROTH, 0.3), "exact_variance"]
    edge = rows[rows["part"] == "error"].set_index(["estimator", "samples"])["exact_error"]
    most = rows["samples"].max()
    return (
        r"One action a~=~$\theta$~+~std~e. Lines are exact; points are measured on "
        f"{n(rows['count'].max())} samples{style.remark(about)}, bars are one standard error. (a,~b)~f~=~[a~>~0], std~0.2: the "
        f"gradient is {n(still['gradient'], 4)} at 0, and every pathwise sample is 0. Zeroth order as in the paper, less the "
        f"return of the noiseless rollout, is no better at 0 (variance {n(still['exact_variance'], 4)}) and better beside it "
        f"({n(aside['exact_variance'], 4)} to {n(less, 4)} at 0.3). (c)~A ramp of width $\\nu$: unbiased, variance "
        r"p(1−p)/$\nu^2$, p the probability of its slope. (d-f)~A ball over a wall, std~0.05: the pathwise mean lacks "
        "both jumps of f, times the density of the action where they are. (f)~At the edge its "
        f"error stays at {n(edge[PATH, most], 2)} however many samples; zeroth order reaches {n(edge[ZEROTH, most], 2)} with "
        f"{n(most)}. Figures 2 and 7 of Suh et al. (2022) agree; exact values, the law of the ramp and panel f are new."
    )
