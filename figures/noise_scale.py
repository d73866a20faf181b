"""Why there is no reward gradient in the policy gradient: one gradient, different variances (study: noise_scale)."""

import numpy as np

from figures import style

STUDY = "noise_scale"
NAMES = ("score function", "reward to go", "reward to go, value baseline", "reparameterization")
MESSAGE = "One gradient, two ways for the reward to enter it, and opposite variances as exploration vanishes"
SHIFT = dict(zip(NAMES, (-0.045, -0.015, 0.015, 0.045), strict=True))  # decades, so that points do not hide each other


def draw(results):
    """Return the figure."""
    rows = results.rows
    quiet, noisy = sorted(rows["process_noise"].unique())
    figure, axes = style.frame(3, 2.8, MESSAGE, describe(rows, results.about), NAMES)
    figure.subplots_adjust(wspace=0.24)
    means(axes[0], rows[rows["process_noise"] == quiet])
    for axis, noise in zip(axes[1:], (quiet, noisy), strict=True):
        here = rows[(rows["process_noise"] == noise) & (rows["std"] > 0)]
        for name in NAMES:
            style.exact_and_measured(axis, here, "std", name)
        axis.set(
            xlim=(7e-4, 4.2),
            ylim=(2e-6, 4e7),
            ylabel="variance of one trajectory\N{RIGHT SINGLE QUOTATION MARK}s gradient",
        )
        style.logarithmic(axis)
    x = np.array([2e-3, 4e-2])
    for name, power, apart, label in ((NAMES[0], -2, 0.1, 0.07), (NAMES[3], 2, 5, 12)):
        exact = rows[(rows["process_noise"] == quiet) & (rows["std"] > 0) & (rows["estimator"] == name)]
        first = exact.loc[exact["std"].idxmin()]
        y = first["exact_variance"] * (x / first["std"]) ** power
        middle = np.sqrt(x.prod()), np.sqrt(y.prod()) * apart * label
        style.reference(axes[1], x, apart * y, rf"$\propto\,$std$^{{{power}}}$", middle)
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xlabel("standard deviation of the policy")
    style.finish(figure, axes, ("one gradient", "variance, deterministic environment", "variance, process noise"))
    return figure


def means(axis, rows):
    """Draw the mean gradients, and the gradient of the deterministic model."""
    limit = rows.loc[rows["std"] == 0, "exact_mean"].iloc[0]
    exact = rows[(rows["estimator"] == NAMES[-1]) & (rows["std"] > 0)].sort_values("std")
    axis.axhline(limit, color=style.QUIET, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
    axis.plot(exact["std"], exact["exact_mean"], color=style.INK, linewidth=1.2, zorder=2)
    label = "back-propagation through\nthe deterministic model"
    axis.annotate(label, (1.4, limit + 0.12), color=style.QUIET, size=8, ha="right", va="bottom")
    at = exact[exact["std"] > 0.7].iloc[0]
    axis.annotate("exact", (at["std"], at["exact_mean"]), (-6, -8), "data", "offset points", size=8, ha="right")
    for name in NAMES:
        seen = rows[(rows["estimator"] == name) & (rows["count"] > 0) & (rows["std"] > 0)]
        x = seen["std"] * 10 ** SHIFT[name]
        axis.errorbar(x, seen["mean"], yerr=seen["stderr"], **style.bars(name), **style.point(name))
    axis.set(xlim=(7e-4, 1.45), ylim=(-4.6, 1.6), ylabel="mean gradient")


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    quiet, noisy = sorted(rows["process_noise"].unique())
    std = rows.loc[rows["std"] > 0, "std"].min()
    at = rows[rows["std"] == std].set_index(["process_noise", "estimator"])["exact_variance"]
    limit = rows[(rows["std"] == 0) & (rows["process_noise"] == quiet)].iloc[0]
    score, _, value, path = (at[quiet, name] for name in NAMES)
    noisy_score, _, noisy_value, noisy_path = (at[noisy, name] for name in NAMES)
    n = style.number
    return (
        f"Scalar linear-quadratic problem, {limit['horizon']:.0f} steps from a fixed state. Lines are exact; points are "
        f"measured on {n(rows['count'].max())} trajectories each{style.remark(about)}, bars are one standard error (in b "
        f"and c smaller than the points). (a)~All estimators have the same mean. It tends to {n(limit['exact_mean'], 4)}, "
        f"the gradient of the deterministic model, as the std of the policy vanishes. (b)~Their variances part: "
        f"reparameterization, which follows the derivative of the reward, tends to {n(path / std**2)}~std$^{{2}}$; the "
        f"score function, which correlates reward and noise, to {n(score * std**2)}~std$^{{-2}}$; an exact value baseline "
        f"keeps that at {n(value)}. (c)~The baseline does so only in a deterministic environment: with process noise of "
        f"variance {n(noisy)} it, too, grows, as {n(noisy_value * std**2)}~std$^{{-2}}$ (score function: "
        f"{n(noisy_score * std**2)}~std$^{{-2}}$), while reparameterization tends to {n(noisy_path)}."
    )
