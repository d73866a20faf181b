"""How variances grow with the horizon, in stable and unstable closed loops (study: horizon)."""

from typing import NamedTuple

import numpy as np

from figures import style

STUDY = "horizon"
NAMES = style.LADDER
TOTAL, TO_GO, MEAN, VALUE, PATH = NAMES
MESSAGE = "In a stable loop the estimator sets the power of the horizon; in an unstable one they all explode"


class Law(NamedTuple):
    """T^power rho^(rate T), drawn `apart` from the exact variances of an estimator; its label beside the line."""

    name: str
    power: int
    rate: int
    apart: float
    label: tuple  # horizon and factor on the law, relative to the longest
    align: str = "left"


LAWS = {
    "stable": tuple(Law(name, power, 0, 2.5, (1.2, 1)) for name, power in ((TOTAL, 3), (VALUE, 2), (PATH, 1))),
    "critical": (Law(TOTAL, 6, 0, 5, (1.2, 1)),),
    "unstable": (Law(TOTAL, 0, 6, 30, (0.7, 30), "right"), Law(PATH, 2, 4, 0.02, (0.72, 0.004))),
}


def draw(results):
    """Return the figure."""
    rows = results.rows
    radii = sorted(rows["spectral_radius"].unique())
    figure, axes = style.frame(len(radii), 2.8, MESSAGE, describe(rows, results.about), NAMES)
    figure.subplots_adjust(wspace=0.26)
    for axis, radius in zip(axes, radii, strict=True):
        here = rows[rows["spectral_radius"] == radius]
        for name in NAMES:
            style.exact_and_measured(axis, here, "horizon", name)
        style.logarithmic(axis, every=2 if radius < 1 else 4)
        for x in LAWS["stable" if radius < 1 else "critical" if radius == 1 else "unstable"]:
            exact = here[here["estimator"] == x.name].sort_values("horizon")
            law(axis, x, radius, exact["horizon"].iloc[-1], exact["exact_variance"].iloc[-1])
        longest = here["horizon"].max()
        if radius <= 1:
            axis.set(xscale="log", xlim=(0.75, 2.6 * longest), xlabel="horizon T")
        else:
            axis.set(xlim=(-0.04 * longest, 1.04 * longest), xlabel="horizon T (linear axis)")
    axes[0].set_ylabel("variance of one trajectory\N{RIGHT SINGLE QUOTATION MARK}s gradient")
    kinds = ["stable" if radius < 1 else "critical" if radius == 1 else "unstable" for radius in radii]
    style.finish(figure, axes, [rf"{kind}, $\rho={radius:g}$" for kind, radius in zip(kinds, radii, strict=True)])
    return figure


def law(axis, x, radius, longest, variance):
    """Draw a law, anchored at the variance at the longest horizon."""

    def at(T):
        return x.apart * variance * (T / longest) ** x.power * radius ** (x.rate * (T - longest))

    T = np.linspace(0.45, 1, 50) * longest if x.rate else np.array([0.1, 1]) * longest
    label = {0: "", 1: "T"}.get(x.power, f"T$^{{{x.power}}}$") + (rf"$\,\rho^{{{x.rate}T}}$" if x.rate else "")
    where = x.label[0] * longest
    height = at(where) if x.rate else at(longest)
    style.reference(axis, T, at(T), label, (where, height * x.label[1]), x.align)


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    exact = rows.set_index(["spectral_radius", "horizon", "estimator"])["exact_variance"]
    low, high = rows["spectral_radius"].min(), rows["spectral_radius"].max()
    T = {radius: part["horizon"].max() for radius, part in rows.groupby("spectral_radius")}
    short = rows.loc[(rows["spectral_radius"] == low) & (rows["horizon"] <= T[low] / 2), "horizon"].max()
    n = style.number

    def slope(name):
        ratio = exact[low, T[low], name] / exact[low, short, name]
        return n(np.log(ratio) / np.log(T[low] / short))

    def over(radius, name, other):
        return n(exact[radius, T[radius], name] / exact[radius, T[radius], other])

    return (
        rf"Scalar linear-quadratic problem in closed loop, $s_{{t+1}}=\rho\,s_t+\mathrm{{noise}}$. Lines are exact; points are "
        f"measured on {n(rows['count'].max())} trajectories each{style.remark(about)}, bars are one standard error "
        f"(smaller than the points); grey: laws of growth. Between T~=~{short} and {T[low]} at $\\rho={low:g}$ the "
        f"exponents are {slope(TOTAL)} (score function), {slope(TO_GO)} (reward to go), {slope(MEAN)} and {slope(VALUE)} "
        f"(with mean and value baseline), and {slope(PATH)} (reparameterization). A baseline that knows the state gains "
        f"little there: at T~=~{T[low]} the mean return to go has {over(low, MEAN, VALUE)} times the variance of the value "
        f"function. At $\\rho={high:g}$, T~=~{T[high]} it has {over(high, MEAN, VALUE)} times as much; the value function "
        f"has {over(high, VALUE, PATH)} times that of reparameterization, which explodes as well: it is the dynamics that "
        "are unstable."
    )
