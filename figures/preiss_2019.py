"""The variance of REINFORCE over noise, actuation and stability, after Preiss et al. 2019 (study: preiss_2019)."""

import numpy as np

from figures import style

STUDY = "preiss_2019"
MESSAGE = "Exactly: exploration has an optimum that follows the process noise, and instability no threshold"
LOOKS = {
    0.1: style.Look("#e69f00", "s", (6, 1.5)),
    1.0: style.KINDS["score"],
    10.0: style.Look("#10305c", "v", (1.4, 1.1)),
}
SIZES = {3: style.Look("#e69f00", "s", ()), 10: style.KINDS["score"], 30: style.Look("#10305c", "v", ())}
PANELS = {
    "policy noise": "variance of the policy",
    "actuation": "actuation b, B = bI",
    "radius": r"spectral radius $\rho(A+BK)$",
}


def draw(results):
    """Return the figure."""
    rows = results.rows
    handles = [style.handle(look, f"noise $\\times\\,${scale:g}") for scale, look in LOOKS.items()]
    handles += [style.handle(look, f"(d) n = {n}", linestyle="none") for n, look in SIZES.items()]
    figure, axes = style.grid(1, 4, 2.5, MESSAGE, describe(rows, results.about), handles)
    figure.subplots_adjust(wspace=0.3)
    for axis, (part, label) in zip(axes[0], PANELS.items(), strict=False):
        for scale, look in LOOKS.items():
            curve(axis, rows[(rows["part"] == part) & (rows["scale"] == scale)], look, mark=part != "radius")
        axis.set(xlabel=label, xscale="linear" if part == "radius" else "log")
        style.logarithmic(axis)
    axes[0, 2].axvline(0.9, color=style.QUIET, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
    axes[0, 2].annotate("1 \N{MINUS SIGN} 1/T", (0.88, 1e14), color=style.QUIET, size=8.5, ha="right", va="top")
    axes[0, 0].set_ylabel(r"total variance $\nu$")
    x = np.array([0.012, 0.1])
    style.reference(axes[0, 0], x, 3e4 * (x / 0.012) ** -1.0, "$-1$", (0.02, 7e3))
    x = np.array([8, 60])
    style.reference(axes[0, 0], x, 4e6 * (x / 8) ** 2, "2", (40, 4e7), "left")
    random(axes[0, 3], rows[rows["part"] == "random"])
    titles = ("exploration", "actuation", "stability", "random problems")
    style.finish(figure, axes[0], titles)
    return figure


def curve(axis, rows, look, mark):
    """Draw an exact curve, its minimum, and the band in which one run of the protocol lies nine times of ten."""
    rows = rows.sort_values("x")
    axis.plot(rows["x"], rows["exact"], zorder=2, **style.line(look))
    seen = rows[rows["protocol"].notna()]
    band = [seen["protocol"] - seen["low"], seen["high"] - seen["protocol"]]
    axis.errorbar(seen["x"], seen["protocol"], yerr=band, **style.bars(look), **style.point(look))
    if mark:
        best = rows.loc[rows["exact"].idxmin()]
        axis.plot(best["x"], best["exact"], "o", markersize=10, mfc="none", mec=style.INK, mew=0.9, zorder=5)


def random(axis, rows):
    """Draw what one run of the protocol shows of random problems, over what is true."""
    for n, look in SIZES.items():
        here = rows[rows["states"] == n]
        small = {"markersize": 3.6, "linestyle": "none", "markeredgewidth": 0.3}
        axis.plot(here["exact"], here["protocol"] / here["exact"], **(style.point(look) | small))
    axis.axhline(1, color=style.QUIET, linewidth=0.9, zorder=1)
    axis.set(xscale="log", yscale="log", xlabel=r"total variance $\nu$, exact", ylabel="one run / exact")
    style.plain_ticks(axis, (0.5, 0.7, 1, 1.5, 2), "y")
    axis.set_ylim(0.45, 2.4)


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    best = {}
    for part in ("policy noise", "actuation"):
        found = (rows[(rows["part"] == part) & (rows["scale"] == scale)] for scale in LOOKS)
        best[part] = ", ".join(n(x.loc[x["exact"].idxmin(), "x"]) for x in found)
    seen = rows[rows["spread"].notna()]
    error = 100 * seen["spread"] / seen["exact"]
    stable = error[(seen["part"] != "radius") | (seen["x"] < 1)]
    unstable = error[(seen["part"] == "radius") & (seen["x"] > 1.15)]
    ratios = rows.loc[rows["part"] == "random", "protocol"] / rows.loc[rows["part"] == "random", "exact"]
    low, high = np.quantile(ratios, [0.05, 0.95])
    return (
        r"REINFORCE without a baseline, n~=~5, m~=~3, ten steps (b: m~=~5): $\nu$, the trace of the covariance of one "
        "trajectory's gradient given its initial state, averaged over it. Lines are exact; points: the protocol of Preiss et "
        "al. (2019), 30 trajectories from each of 100 initial states, in plain NumPy; mean over "
        f"{n(seen['repeats'].max())} runs{style.remark(about)}, bars hold nine runs of ten. Agrees with their Figure 1: "
        rf"(a)~a minimum (circles), at {best['policy noise']}, that grows with the process noise, and slopes of −1 and 2; "
        f"(b)~one that hardly moves, at {best['actuation']}; (c)~smooth growth through 1~−~1/T, where the bound of the paper "
        "has a kink. (Process noise times .1, 1, 10; in b policy noise, too.) The bounds themselves are not drawn: their "
        "constants are not in the text at hand. The paper shows no error bars; one run has a standard error of "
        f"{n(stable.min(), 2)} to {n(stable.max(), 2)}~% in stable loops, {n(unstable.max(), 2)}~% in the most unstable. "
        f"(d)~{len(ratios)} random problems, n and horizon of 3, 10 or 30, as in Figure 2: one run is between "
        f"{n(low, 2)} and {n(high, 2)} times the exact value in nine of ten."
    )
