"""What dimension does to the score function, after Mohamed et al. 2020, Figure 4 (study: mohamed_2020)."""

import numpy as np

from figures import style

STUDY = "mohamed_2020"
MESSAGE = "A score function pays for each dimension, even for those that do not matter to it"
LOOKS = {
    0.3: style.Look("#e69f00", "s", (6, 1.5)),
    1.0: style.KINDS["score"],
    3.0: style.Look("#10305c", "v", (1.4, 1.1)),
}
TITLES = {"constant": "f(x) = 100, whatever x is", "sum": "f(x) = $x_1 + \\ldots + x_D$"}


def draw(results):
    """Return the figure."""
    rows = results.rows[results.rows["part"] == "dimension"]
    handles = [style.handle(look, f"std = {std:g}") for std, look in LOOKS.items()]
    figure, axes = style.grid(1, 2, 2.4, MESSAGE, describe(rows, results.about), handles)
    for cost, axis in zip(TITLES, axes[0], strict=True):
        for std, look in LOOKS.items():
            here = rows[(rows["cost"] == cost) & (rows["std"] == std)]
            style.exact_and_measured(axis, here, "dimension", "score function", look)
        axis.set(xlabel="dimension D", ylabel="variance, gradient in one std", xscale="log")
        style.logarithmic(axis, 1)
        style.plain_ticks(axis, (1, 3, 10, 30, 100))
    D = np.array([30, 100])
    style.reference(axes[0, 1], D, 1.2e5 * (D / 30) ** 2, "$D^2$", (40, 6e5), "right")
    style.finish(figure, axes[0], TITLES.values())
    return figure


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    at = rows.set_index(["cost", "std", "dimension"])["exact_variance"]
    return (
        r"Score function without a baseline, $x_d$ normal with mean 1/2, the gradient in one of D standard deviations, "
        f"averaged over d. Lines: exact; points: {n(rows['count'].max())} samples{style.remark(about)}, bars at most one "
        "standard error. (a)~Of a constant cost the gradient is 0, and all that the estimator says is noise: 2~f$^2$/std$^2$ "
        f"({n(at['constant', 1.0, 1], 5)} at std 1) in every dimension. (b)~$D^2/(2\\,\\mathrm{{std}}^2)+2D+8$: "
        f"{n(at['sum', 1.0, 10])} at D~=~10, {n(at['sum', 1.0, 100], 4)} at D~=~100, std 1, where only one term of f depends "
        "on the parameter. Mohamed et al. (2020), Figure 4, show the same growth; their grids of D and std are not in the "
        "text, so that values cannot be compared."
    )
