"""The figure of a comparison: what a given accuracy costs with each estimator, as a dot plot."""

import os
import textwrap

COLOURS = {"score": "#e69f00", "pathwise": "#10305c", "own": "#9b4f96", "other": "#757575"}
MARKERS = {"score": "s", "pathwise": "v", "own": "D", "other": "o"}
FAMILIES = {"score": "score function", "pathwise": "pathwise", "own": "your own", "other": "perturbed parameters"}
INK, QUIET = "#222222", "#757575"
ROW = 0.25  # inches
DPI = 200
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # it comes with matplotlib
    "font.size": 9,
    "axes.linewidth": 0.7,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "pdf.fonttype": 42,
    "text.usetex": False,
    "mathtext.fontset": "dejavusans",
}


def draw(comparison):
    """Return a matplotlib figure: variance x time of each estimator that varies, the least at the top."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = [row for row in comparison.rows if 0 < row.price < float("inf")]
    best = next((row.price for row in comparison.contenders()), None)
    with matplotlib.rc_context(STYLE):
        height = 1.9 + ROW * max(len(rows), 1)
        figure = Figure(figsize=(7.2, height))
        axis = figure.subplots()
        figure.subplots_adjust(left=0.36, right=0.97, top=1 - 0.82 / height, bottom=1.05 / height)
        for y, row in enumerate(rows):
            axis.axhline(y, color="#e6e6e6", linewidth=0.6, zorder=0)
            look = {"marker": MARKERS[row.family], "markersize": 5.5, "markeredgecolor": COLOURS[row.family]}
            look["markerfacecolor"] = COLOURS[row.family] if comparison.passes(row) else "white"
            bars = {"elinewidth": 1, "capsize": 2, "color": COLOURS[row.family], "zorder": 3, "linestyle": "none"}
            error = min(row.price_stderr, 0.9 * row.price)
            axis.errorbar(row.price, y, xerr=error, **bars, **look)
            if best and row.price != best:
                text = f"\N{MULTIPLICATION SIGN}\N{HAIR SPACE}{number(row.price / best)}"
                place = {"xytext": (7, 0), "textcoords": "offset points", "va": "center", "size": 7.5, "color": QUIET}
                place["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
                axis.annotate(text, (row.price, y), **place)
        axis.set(xscale="log", ylim=(max(len(rows), 1) - 0.4, -0.6), xmargin=0.09)
        axis.set_xlabel("total variance of a sample $\\times$ its nanoseconds")
        axis.set_yticks(range(len(rows)), [row.estimator for row in rows])
        axis.tick_params(axis="y", length=0)
        for side in ("left", "right", "top"):
            axis.spines[side].set_visible(False)
        used = [family for family in FAMILIES if any(row.family == family for row in rows)]
        point = {"linestyle": "none", "markersize": 5.5}
        handles = [Line2D([], [], marker=MARKERS[x], color=COLOURS[x], label=FAMILIES[x], **point) for x in used]
        if not all(map(comparison.passes, rows)):
            hollow = {"markerfacecolor": "white", "markeredgecolor": QUIET, "label": "fails the test for bias"}
            handles.append(Line2D([], [], marker="o", **hollow, **point))
        place = {"loc": "upper left", "bbox_to_anchor": (0.012, 1 - 0.36 / height), "ncols": len(handles)}
        figure.legend(handles=handles, frameon=False, fontsize=8.5, handletextpad=0.2, columnspacing=1.4, **place)
        figure.text(0.02, 1 - 0.12 / height, message(comparison), va="top", weight="bold", size=10)
        lines = "\n".join(textwrap.wrap(caption(comparison), 122))
        figure.text(0.02, 0.12 / height, lines, va="bottom", size=7.5, color="#444444", linespacing=1.4)
    return figure


def number(x):
    """Return a ratio in two digits."""
    if not 0.1 <= x < 1e4:
        mantissa, _, exponent = f"{x:.1e}".partition("e")
        return rf"${mantissa}\times10^{{{int(exponent)}}}$"
    return f"{float(f'{x:.2g}'):g}"


def message(comparison):
    """Return what the figure says, in one line."""
    passing = comparison.contenders()
    if not passing:
        return "No estimator passes the test for bias"
    return f"Least variance \N{MULTIPLICATION SIGN} time here: {passing[0].estimator}"


def caption(comparison):
    """Return what is drawn."""
    count = max(row.count for row in comparison.rows)
    return (
        f"{comparison.title}. Bars: one standard error of the variance, and half the distance of the quartiles of the time. "
        f"{count} samples of each, timed alone on one thread. Numbers: times the least that passes the test for bias."
    )


def save(figure, path, title):
    """Write PATH.pdf and PATH.png, without dates, so that drawing again gives the same bytes; return the paths."""
    import matplotlib

    paths = []
    for kind, metadata in (
        ("pdf", {"Title": title, "CreationDate": None}),
        ("png", {"Title": title, "Software": None}),
    ):
        target = path.with_name(f"{path.name}.{kind}")
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        with matplotlib.rc_context(STYLE):
            figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata)
        os.replace(temporary, target)
        paths.append(target)
    return paths
