"""Ripples and chaos: pathwise variances without bound, after Metz et al. 2021 and Parmas et al. 2018 (study: metz_2021)."""

import numpy as np

from figures import style

STUDY = "metz_2021"
LABELS = {
    "score function": "score function (ES)",
    "score function, mirrored": "mirrored pairs (antithetic ES)",
    "reward to go, mean baseline": "reward to go, mean baseline",
    "reparameterization": "pathwise",
}
SCORE, MIRRORED, TO_GO, PATH = LABELS
LOOKS = {name: style.look(name) for name in LABELS} | {MIRRORED: style.KINDS["returns"]}
MESSAGE = "Ripples and chaos make pathwise gradients useless; correlations with noise do not feel them"


def draw(results):
    """Return the figure."""
    rows = results.rows
    handles = [style.handle(LOOKS[name], label) for name, label in LABELS.items()]
    figure, axes = style.grid(1, 4, 2.4, MESSAGE, describe(rows, results.about), handles)
    figure.subplots_adjust(wspace=0.34)
    ripples, chaos = rows[rows["part"] == "ripples"], rows[rows["part"] == "chaos"]
    for name in (SCORE, MIRRORED, PATH):
        style.exact_and_measured(axes[0, 0], ripples, "x", name, LOOKS[name])
    for name in (SCORE, TO_GO, PATH):
        style.exact_and_measured(axes[0, 1], chaos, "x", name, LOOKS[name])
    axes[0, 0].set(xscale="log", xlabel="frequency w", ylabel="largest variance")
    axes[0, 1].set(xlabel="steps T", ylabel="variance of one sample")
    w = np.array([8.0, 200.0])
    style.reference(axes[0, 0], w, 0.0001 * w**2, "$w^2$", (60, 0.05), "left")
    slice_ = rows[rows["part"] == "slice"]
    one = slice_[slice_["estimator"] == PATH].sort_values("x")
    axes[0, 2].plot(one["x"], one["objective"], color=style.INK)
    axes[0, 2].set(xlabel=r"push $\theta$", ylabel="objective J")
    for name in (SCORE, TO_GO, PATH):
        here = slice_[slice_["estimator"] == name].sort_values("x")
        axes[0, 3].plot(here["x"], here["exact_variance"], **style.line(LOOKS[name]))
    axes[0, 3].plot(one["x"], one["exact_mean"] ** 2, color=style.INK, linewidth=1, linestyle=(0, (1, 1)))
    axes[0, 3].annotate("gradient$^2$", (-0.55, 1e-3), color=style.INK, size=8.5)
    axes[0, 3].set(xlabel=r"push $\theta$", ylabel="variance of one sample", ylim=(1e-4, None))
    for axis in (axes[0, 0], axes[0, 1], axes[0, 3]):
        style.logarithmic(axis)
    style.finish(figure, axes[0], ("ripples", "chaos, over steps", "eight steps: objective", "eight steps: variance"))
    return figure


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    at = rows.set_index(["part", "estimator", "x"])["exact_variance"].sort_index()
    high = rows.loc[rows["part"] == "ripples", "x"].max()
    steps = sorted(rows.loc[rows["part"] == "chaos", "x"].unique())[-2:]
    growth = (at["chaos", PATH, steps[1]] / at["chaos", PATH, steps[0]]) ** (1 / (steps[1] - steps[0]))

    def between(name):
        values = at["ripples", name]
        return f"{n(values.min())} to {n(values.max())}"

    return (
        "Lines are exact; points are measured on "
        f"{n(rows['count'].max())} samples{style.remark(about)}, bars are one standard error. (a)~Ripples "
        r".1~sin(xw/$\pi$) on a parabola, std~0.3: the largest variance over −10~$\leq$~x~$\leq$~10, as in Figure 1 of Metz "
        f"et al. (2021). Pathwise {n(at['ripples', PATH, 1.0], 4)} at w~=~1, then .005~$w^2/\\pi^2$ "
        f"({n(at['ripples', PATH, high], 4)} at {n(high)}); the score function {between(SCORE)}, mirrored pairs "
        f"{between(MIRRORED)}: the paper does not say which of the two its ES is, and it matters: pathwise crosses the one "
        "ten times later than the other. (b)~A chaotic map, x' = sin($\\pi$x~+~$\\theta$~+~0.3~e): after Parmas et al. (2018), "
        f"whose cart-pole is another problem. The pathwise variance grows by {n(growth)} per step, at T~=~{steps[1]:.0f} it is "
        f"{n(at['chaos', PATH, steps[1]] / at['chaos', TO_GO, steps[1]], 2)} times that of reward to go. (c,~d)~The objective "
        "is smooth all the same; dotted: the squared gradient."
    )
