"""The figure of a comparison: what a given accuracy costs with each estimator, as a dot plot."""

from __future__ import annotations

import importlib.resources
import io
import re
import textwrap
import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..estimators.knowledge import FITTED, ORACLE
from .comparison import Comparison
from .prices import price_interval
from .row import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class Look(NamedTuple):
    """How a family is drawn, and what it is called."""

    colour: str
    marker: str
    label: str


# The table is that of all figures, those of the studies included.
TABLE = tomllib.loads(importlib.resources.files("mcgrad").joinpath("looks.toml").read_text(encoding="utf-8"))
LABELS = {
    "score": "score function",
    "measure": "measure-valued",
    "critic": "a critic for returns",
    "pathwise": "pathwise",
    "mixed": "score and pathwise",
    "in part": "pathwise in part",
    "own": "your own",
    "returns": "returns alone",
}
LOOKS = {
    family: Look(TABLE["kinds"][family]["colour"], TABLE["kinds"][family]["marker"], label)
    for family, label in LABELS.items()
}
MARKS, CRITICS = TABLE["marks"], (ORACLE, FITTED)  # of what is known besides trajectories
INK, QUIET = TABLE["ink"], TABLE["quiet"]
WIDTH, ROW, LINE = 5.0, 0.25, 0.18  # inches: of the figure, of a row, of a line of text
SIZE, SMALL = 9.5, 8.6  # points: 6.4 and 5.8 in a column of 3.35 inches
MARKER, LONGEST = 6, 35  # points; letters of a label
DPI = 300
COMPRESSION = 3  # of zlib: its default of 6 takes half as long again, and makes larger files of figures
SUPERSCRIPTS = str.maketrans(
    "-0123456789", "\N{SUPERSCRIPT MINUS}\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # it comes with matplotlib
    "font.size": SIZE,
    "axes.linewidth": 0.8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": SIZE,
    "ytick.labelsize": SIZE,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,  # by it matplotlib splits the fonts of a PDF, too: each is embedded once, not in parts
    "text.usetex": False,
}


def draw(comparison: Comparison) -> Figure:
    """Return a matplotlib figure: variance x time of each estimator that varies, the least at the top."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = [row for row in comparison.rows if 0 < row.price < float("inf")]
    title, said = _wrapped(message(comparison), 52), _wrapped(caption(comparison), 76)
    handles, columns = _legend(comparison, rows), 2
    keys = -(-len(handles) // columns)
    top = 0.14 + LINE * (1.15 * len(title) + 1.15 * keys) + 0.16
    bottom = 0.62 + 0.92 * LINE * len(said) + 0.1
    height = top + ROW * max(len(rows), 1) + bottom
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axis = figure.subplots()
        figure.subplots_adjust(left=0.53, right=0.83, top=1 - top / height, bottom=bottom / height)
        _points(axis, comparison, rows)
        axis.set_xlabel("total variance \N{MULTIPLICATION SIGN} nanoseconds of a sample", x=0.4)
        axis.set_yticks(range(len(rows)), map(_label, rows))
        _without_mathtext(axis.xaxis)
        axis.tick_params(axis="y", length=0)
        for side in ("left", "right", "top"):
            axis.spines[side].set_visible(False)
        place: dict[str, Any] = {"ncols": columns, "frameon": False, "borderaxespad": 0.0, "borderpad": 0.0}
        place |= {"loc": "upper left", "bbox_to_anchor": (0.02, 1 - (0.17 + 1.15 * LINE * len(title)) / height)}
        legend = figure.legend(handles=handles, fontsize=SIZE - 0.5, handletextpad=0.3, columnspacing=1.6, **place)
        # Line by line: matplotlib forgets what is asked of the font where a text has several.
        for k, line in enumerate(title):
            y = 1 - (0.1 + k * 1.2 * (SIZE + 0.5) / 72) / height
            figure.text(0.02, y, line, va="top", weight="bold", size=SIZE + 0.5)
        for k, line in enumerate(reversed(said)):
            y = (0.1 + k * 1.35 * SMALL / 72) / height
            figure.text(0.02, y, line, va="bottom", size=SMALL, color="#444444")
        for text in (*figure.texts, *legend.get_texts(), *axis.get_yticklabels()):
            if hasattr(text, "set_fontfeatures"):  # matplotlib 3.11: ligatures would be a font of their own in a PDF
                text.set_fontfeatures(("-liga",))
    return figure


def _points(axis: Axes, comparison: Comparison, rows: Sequence[Row]) -> None:
    """Draw a point with its bars in each row, and at the right by how much it is dearer than the best."""
    best = next((row.price for row in comparison.contenders()), None)
    for y, row in enumerate(rows):
        axis.axhline(y, color="#e6e6e6", linewidth=0.7, zorder=0)
        colour, marker, _ = LOOKS[row.family]
        look: dict[str, Any] = {"marker": marker, "markersize": MARKER, "markeredgecolor": colour}
        look["markerfacecolor"] = colour if comparison.contends(row) else "white"
        bars = {"elinewidth": 1.2, "capsize": 2.5, "color": colour, "zorder": 3, "linestyle": "none"}
        low, high = price_interval(row)
        error = [[row.price - low], [high - row.price]] if 0 < low <= high < float("inf") else None
        axis.errorbar(row.price, y, xerr=error, **bars, **look)
        if best:
            text = "best" if row.price == best else f"\N{MULTIPLICATION SIGN}\N{HAIR SPACE}{number(row.price / best)}"
            place = {"va": "center", "ha": "left", "size": SIZE - 0.5, "color": QUIET, "clip_on": False}
            axis.text(1.02, y, text, transform=axis.get_yaxis_transform(), **place)
    axis.set(xscale="log", ylim=(max(len(rows), 1) - 0.4, -0.6), xmargin=0.06)
    axis.margins(x=0.06)


def _without_mathtext(axis: XAxis) -> None:
    """Write the powers of ten at an axis as plain text: the parser of formulas takes a tenth of a second to be made."""
    from matplotlib.ticker import LogFormatterSciNotation

    class Powers(LogFormatterSciNotation):
        def __call__(self, x: float, pos: int | None = None) -> str:
            formula = re.fullmatch(r"\$\\mathdefault\{(.*)\}\$", super().__call__(x, pos))
            if formula is None:
                return ""
            text = formula[1].replace(r"\times", "\N{MULTIPLICATION SIGN}")
            return re.sub(r"\^\{(.*)\}", lambda power: power[1].translate(SUPERSCRIPTS), text)

    axis.set_major_formatter(Powers())
    axis.set_minor_formatter(Powers(labelOnlyBase=False))


def _label(row: Row) -> str:
    """Return the name of a row, not too long, with the mark of what it knows besides trajectories."""
    name = row.estimator if len(row.estimator) < LONGEST else f"{row.estimator[: LONGEST - 2]}\N{HORIZONTAL ELLIPSIS}"
    return f"{name}\N{HAIR SPACE}{MARKS[row.knows]['mark']}" if row.knows in MARKS else name


def _legend(comparison: Comparison, rows: Sequence[Row]) -> list[Line2D]:
    """Return a handle for each family that is drawn, and one for what cannot be recommended."""
    from matplotlib.lines import Line2D

    point = {"linestyle": "none", "markersize": MARKER}
    used = [look for family, look in LOOKS.items() if any(row.family == family for row in rows)]
    handles = [Line2D([], [], marker=x.marker, color=x.colour, label=x.label, **point) for x in used]
    if not all(map(comparison.contends, rows)):
        what = "biased, untested, an oracle" if any(x.knows in CRITICS for x in rows) else "biased, or not tested"
        hollow = {"markerfacecolor": "white", "markeredgecolor": QUIET, "label": f"hollow: {what}"}
        handles.append(Line2D([], [], marker="o", **hollow, **point))
    return handles


def number(x: float) -> str:
    """Return a ratio in two digits."""
    if not 0.01 <= x < 1e4:
        mantissa, _, exponent = f"{x:.1e}".partition("e")
        return f"{mantissa}\N{MULTIPLICATION SIGN}10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return f"{x:.1f}" if 0.995 <= x < 9.95 else f"{float(f'{x:.2g}'):g}"


def message(comparison: Comparison) -> str:
    """Return what the figure says, in one sentence."""
    passing = comparison.contenders()
    if passing:
        return f"Least variance \N{MULTIPLICATION SIGN} time here: {passing[0].estimator}"
    if comparison.verdict.disagreement:
        return "Estimators that should agree on the gradient do not: none is recommended"
    return "No estimator here is known to be unbiased"


def caption(comparison: Comparison) -> str:
    """Return what is drawn."""
    count = max(row.count for row in comparison.rows)
    return (
        f"{comparison.title}. Bars: 95% intervals of variance and time. "
        f"{count} samples of each, timed alone on one thread."
        + (" Numbers: times the least that is recommended." if comparison.contenders() else "")
        + _knowledge(comparison)
    )


def _knowledge(comparison: Comparison) -> str:
    """Return what the marks mean that are drawn, and the floor."""
    shown = {row.knows for row in comparison.rows if row.price > 0}
    words = {x["mark"]: x["words"] for kind, x in MARKS.items() if kind in shown}
    said = [f"{mark}\N{NO-BREAK SPACE}{text}" for mark, text in words.items()]
    floor = comparison.floor
    bounds = (
        "" if floor is None else f", whose floor is a variance of {floor.tree:.4g} for each rollout, the tree bound"
    )
    return f" Without a mark: trajectories alone{bounds}; {', '.join(said)}." if said else ""


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)


def rendered(figure: Figure, title: str) -> dict[str, bytes]:
    """Return {"pdf": bytes, "png": bytes}, without dates, so that drawing again gives the same bytes."""
    import matplotlib

    files = {}
    for kind, options in (
        ("pdf", {"metadata": {"Title": title, "CreationDate": None}}),
        ("png", {"metadata": {"Title": title, "Software": None}, "pil_kwargs": {"compress_level": COMPRESSION}}),
    ):
        with matplotlib.rc_context(STYLE), io.BytesIO() as stream:
            figure.savefig(stream, format=kind, dpi=DPI, **options)
            files[kind] = stream.getvalue()
    return files
