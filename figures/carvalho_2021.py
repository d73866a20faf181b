"""What the frequency of a critic's error does to three estimators, after Carvalho et al. 2021 (study: carvalho_2021)."""

from figures import style

STUDY = "carvalho_2021"
LABELS = {
    "score function": "score function",
    "measure-valued": "measure-valued, coupled",
    "reparameterization": "pathwise, through the critic",
}
MESSAGE = "Derivatives of a critic double its error with each octave; the score function does not hear the pitch"


def draw(results):
    """Return the figure."""
    rows = results.rows
    handles = [style.handle(style.look(name), label) for name, label in LABELS.items()]
    dimensions = sorted(rows["dimension"].unique())
    figure, axes = style.grid(1, len(dimensions), 2.4, MESSAGE, describe(rows, results.about), handles, sharey=True)
    figure.subplots_adjust(wspace=0.12)
    for axis, d in zip(axes[0], dimensions, strict=True):
        here = rows[rows["dimension"] == d]
        crossing = here.loc[here["estimator"] == "crossing", "frequency"].item()
        for name in LABELS:
            style.exact_and_measured(axis, here, "frequency", name)
        axis.axvline(crossing, color=style.QUIET, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
        place = {"color": style.QUIET, "size": 8.5, "ha": "right"}
        axis.annotate(f"f = {style.number(crossing)}", (crossing * 0.8, 3e5), **place)
        axis.set(xscale="log", xlabel="frequency f of the error", ylim=(1e-4, 1e8))
        style.logarithmic(axis)
    axes[0, 0].set_ylabel("variance of one look")
    style.finish(figure, axes[0], [f"d = {d} action{'s' if d > 1 else ''}" for d in dimensions])
    return figure


def describe(rows, about):
    """Return the caption; every number in it comes from the results."""
    n = style.number
    crossings = rows[rows["estimator"] == "crossing"].sort_values("dimension")["frequency"]
    return (
        r"A critic is wrong by cos(2$\pi$f~p·a~+~$\varphi$), p uniform on the simplex, $\varphi$ uniform; a~normal of std~0.1 "
        "in d dimensions. What that adds to the variance of one component of the gradient, for each look at the critic (a "
        "measure-valued sample takes 2d). Lines are exact; points: "
        f"{n(rows['count'].max())} samples in plain NumPy{style.remark(about)}, bars are one standard error. Dotted: where the "
        "pathwise gradient becomes worse than the score function, "
        r"f~=~$\sqrt{d(d+1)/2}\,/\,(2\pi\,\mathrm{std})$~=~"
        f"{', '.join(n(x) for x in crossings)}. Carvalho, Tateo, Muratore and Peters (2021) sweep f in decades on four "
        "linear-quadratic systems with these numbers of actions; the crossing should lie between their f~=~1 and 10 in every "
        "one. Their curves of relative error, which mix this with the variance of an exact critic, are not redrawn here."
    )
