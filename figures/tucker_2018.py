"""A policy gradient's variance over time: trajectory, action and state, after Tucker et al. 2018 (study: tucker_2018)."""

from figures import style

STUDY = "tucker_2018"
MESSAGE = "The claim holds with correct numbers: what happens later dominates, and no baseline sees it"
LOOKS = {
    "sigma_tau": style.KINDS["score"],
    "sigma_tau, generalized advantage 0.99": style.KINDS["critic"],
    "sigma_tau, generalized advantage 0": style.KINDS["slope"],
    "sigma_a, no baseline": style.KINDS["to go"],
    "sigma_a, value baseline": style.KINDS["value"],
    "sigma_s": style.KINDS["returns"],
}
RELEASED = {
    "released sigma_tau": style.Look(style.INK, "o", (6, 1.5)),
    "second moment, released noise": style.Look(style.INK, "s", (1.4, 1.1)),
}
LABELS = {
    "sigma_tau": r"$\Sigma_\tau$",
    "sigma_tau, generalized advantage 0.99": r"$\Sigma_\tau$, GAE(0.99)",
    "sigma_tau, generalized advantage 0": r"$\Sigma_\tau$, GAE(0)",
    "sigma_a, no baseline": r"$\Sigma_a$, no baseline",
    "sigma_a, value baseline": r"$\Sigma_a$, value baseline",
    "sigma_s": r"$\Sigma_s$",
    "released sigma_tau": r"$\Sigma_\tau$ as released",
    "second moment, released noise": "first defect alone",
}
MAIN = ("sigma_tau", "sigma_a, no baseline", "sigma_a, value baseline", "sigma_s")


def draw(results):
    """Return the figure."""
    rows = results.rows
    last = rows["updates"].max()
    handles = [style.handle(look, LABELS[name], marker="none") for name, look in (LOOKS | RELEASED).items()]
    figure, axes = style.grid(1, 3, 2.9, MESSAGE, describe(rows, results.about), handles, sharey=True)
    figure.subplots_adjust(wspace=0.12)
    first = rows[rows["updates"] == 0]
    curves(axes[0, 0], first, LOOKS)
    curves(axes[0, 1], first, {"sigma_tau": LOOKS["sigma_tau"], MAIN[2]: LOOKS[MAIN[2]]} | RELEASED)
    for name in ("sigma_tau", "released sigma_tau"):
        points(axes[0, 1], first[(first["part"] == name) & (first["count"] > 0)], (LOOKS | RELEASED)[name])
    curves(axes[0, 2], rows[rows["updates"] == last], {name: LOOKS[name] for name in MAIN})
    for axis in axes[0]:
        axis.set(xlabel="time t", xlim=(-2, 100), ylim=(1e-6, 3e12))
        style.logarithmic(axis)
    axes[0, 0].set_ylabel("trace of the covariance")
    titles = ("before any update", "what the released code returns", f"after {last} updates")
    style.finish(figure, axes[0], titles)
    return figure


def curves(axis, rows, looks):
    """Draw exact traces over time."""
    for name, look in looks.items():
        here = rows[(rows["part"] == name) & rows["exact"].isna()].sort_values("t")
        axis.plot(here["t"], 2.718281828459045 ** here["exact_log_trace"], **style.line(look))


def points(axis, rows, look):
    """Draw simulated traces with their standard errors."""
    axis.errorbar(rows["t"], rows["trace"], yerr=rows["trace_stderr"], **style.bars(look), **style.point(look))


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    at = rows[rows["exact"].isna()].set_index(["updates", "part", "t"])["exact_log_trace"].sort_index()

    def logs(name, times=(0, 50, 98)):
        return ", ".join(n(at[0, name, t], 4) for t in times)

    over = 2.718281828459045 ** (at[0, "released sigma_tau"] - at[0, "sigma_tau"])
    return (
        "Point mass in the plane under an open loop, 100 steps; variance of the gradient in the mean action at time t, traces. "
        r"$\Sigma_\tau$: what happens after t; $\Sigma_a$: the action; $\Sigma_s$: the state. Lines are exact; points in b: "
        f"{n(rows['count'].max())} simulated rollouts each, in plain NumPy{style.remark(about)}, bars are one standard error. "
        r"(a)~Their natural logarithms at t~=~0, 50, 98: $\Sigma_\tau$ "
        rf"{logs('sigma_tau')}; $\Sigma_a$ with the value function {logs('sigma_a, value baseline')}. An action-dependent "
        r"baseline can remove the latter alone: Tucker et al. (2018) are right. (b)~Their curve of $\Sigma_\tau$ is not: the "
        "code released with the paper adds the covariance of the state as process noise to rollouts (dotted), and takes "
        r"the mean of $R^2-Q^2$ for that of $(R-Q)^2$ (dashed); what it returns is "
        f"{n(over[0], 2)} to {n(over[98], 2)} times too large at t~=~0 to 98. A third defect, in $\\Sigma_a$ "
        f"({n(at[0, 'released sigma_a, value baseline', 0], 4)} for {n(at[0, 'sigma_a, value baseline', 0], 4)} at t~=~0), "
        "would not be seen here. Their figures are of samples without error bars."
    )
