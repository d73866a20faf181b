"""How figures look: one table for the estimators, the same in every figure, and a frame with its message and caption."""

import functools
import hashlib
import pathlib
import re
import tomllib
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, NullFormatter


class Look(NamedTuple):
    """What tells an estimator from the others: in colour, in greyscale (dashes, markers), for the colour-blind."""

    colour: str
    marker: str
    dash: tuple


TABLE = tomllib.loads((pathlib.Path(__file__).parents[1] / "mcgrad" / "looks.toml").read_text(encoding="utf-8"))
KINDS = {kind: Look(x["colour"], x["marker"], tuple(x["dash"])) for kind, x in TABLE["kinds"].items()}
# The ladder of the older figures, in order: from the return alone to derivatives.
LADDER = (
    "score function",
    "reward to go",
    "reward to go, mean baseline",
    "reward to go, value baseline",
    "reparameterization",
)
INK, QUIET = TABLE["ink"], TABLE["quiet"]
WIDTH = 9.6  # inches
CAPTION = 8.8  # points
KEY = 0.2  # inches from one line of a legend to the next
LINE = 0.182  # inches from one line of a caption to the next


def theme():
    """Set seaborn's theme and our sizes; text stays text in PDF files."""
    import seaborn

    # At 7 inches, the width of a page's text, no letter is smaller than 6 points.
    sizes = {
        "font.size": 9.5,
        "axes.labelsize": 9.5,
        "axes.titlesize": 9.5,
        "xtick.labelsize": 8.8,
        "ytick.labelsize": 8.8,
    }
    lines = {"axes.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7, "xtick.major.size": 3.5}
    lines |= {"ytick.major.size": 3.5, "xtick.minor.size": 2, "ytick.minor.size": 2, "lines.linewidth": 1.5}
    inks = {"text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK}
    other = {
        "pdf.fonttype": 42,
        "text.usetex": False,
        "mathtext.fontset": "dejavusans",
        "axes.formatter.use_mathtext": True,
    }
    fonts = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]}  # it comes with matplotlib
    seaborn.set_theme(style="ticks", rc=sizes | lines | inks | other | fonts)


def frame(panels, height, message, caption, names, **options):
    """Return (figure, axes): panels side by side under a message and a legend, over a caption.

    Parameters
    ----------
    panels : int
    height : float
        Of the panels, in inches.
    message, caption : str
        What the figure says, in one line; and what is drawn. A caption is wrapped; see `wrapped`.
    names : sequence of str
        The estimators in the legend; () for a legend of one's own.
    options
        For `Figure.subplots`.
    """
    theme()
    figure, axes = grid(1, panels, height, message, caption, [handle(name) for name in names], **options)
    return figure, axes[0]


def grid(rows, columns, height, message, caption, handles=(), gap=0.68, **options):
    """Return (figure, axes), as `frame` does, of rows of panels, each of them `height` inches high and `gap` apart.

    Parameters
    ----------
    handles : sequence of artists
        Of the legend, which takes as many lines as it needs; () for none.
    """
    theme()
    lines = wrapped(caption + explained(x.get_label() for x in handles), WIDTH - 0.3, CAPTION)
    keys = _keys(handles)
    above, below, margin = 0.66 + KEY * max(len(keys), 1), 0.52, 0.13
    inside = rows * height + (rows - 1) * gap
    total = above + inside + below + LINE * len(lines) + margin
    figure = Figure(figsize=(WIDTH, total))
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    edges = {"left": 0.072, "right": 0.985, "top": 1 - above / total, "bottom": 1 - (above + inside) / total}
    figure.subplots_adjust(**edges, hspace=gap / height)
    left = 0.15 / WIDTH
    figure.text(left, 1 - 0.12 / total, message, va="top", weight="bold", size=10.5)
    figure.text(left, margin / total, "\n".join(lines), va="bottom", size=CAPTION, linespacing=1.45, color="#444444")
    for k, row in enumerate(keys):
        legend(figure, row, k)
    return figure, axes


def _keys(handles, width=WIDTH - 0.2):
    """Return the handles of a legend in rows that fit."""
    rows, room = [], 0.0
    for x in handles:
        letters = re.sub(r"\\[a-zA-Z]+", "x", x.get_label()).translate({ord(c): None for c in "$_{}^"})
        need = 0.62 + 0.062 * len(letters)  # inches; letters of its size are narrower on average
        if not rows or need > room:
            rows, room = [*rows, []], width
        rows[-1].append(x)
        room -= need
    return rows


def legend(figure, handles, row=0):
    """Draw a legend in one line under the message."""
    width, height = figure.get_size_inches()
    place = {"loc": "upper left", "bbox_to_anchor": (0.15 / width, 1 - (0.37 + KEY * row) / height)}
    space = {"borderpad": 0, "borderaxespad": 0, "handlelength": 2.6, "handletextpad": 0.5, "columnspacing": 1.4}
    figure.legend(handles=handles, ncols=len(handles), frameon=False, fontsize=9, **place, **space)


def handle(name, label=None, **other):
    """Return what stands for an estimator in a legend: its line and its point."""
    return Line2D([], [], label=marked(name, label), **(line(name) | point(name) | other))


def marked(name, label=None):
    """Return the label of an estimator, by default its name, with the mark of what it knows besides trajectories."""
    kind = TABLE["knows"].get(name)
    text = str(name) if label is None else label
    return text if kind is None else f"{text}\N{HAIR SPACE}{TABLE['marks'][kind]['mark']}"


def explained(labels):
    """Return a sentence for captions that says what the marks on labels mean; "" if there are none."""
    text = "".join(labels)
    words = {x["mark"]: x["words"] for x in TABLE["marks"].values() if x["mark"] in text}
    return f" {'; '.join(f'{mark}~{said}' for mark, said in words.items())}." if words else ""


def look(name):
    """Return how an estimator looks: that of the table, or one of its own, made from its name."""
    if isinstance(name, Look):
        return name
    if name in TABLE["names"]:
        return KINDS[TABLE["names"][name]]
    digest = hashlib.sha256(name.encode()).digest()  # not `hash`, which differs between processes
    kinds = tuple(KINDS.values())
    return Look(
        kinds[digest[0] % len(kinds)].colour, "dPX*8<>H"[digest[1] % 8], kinds[digest[2] % len(kinds)].dash or (7, 2)
    )


def wrapped(text, width, size=8):
    """Return the lines of a text, none wider than `width` inches; `~` is a blank that stays.

    Words are measured, once each, and not the lines that they make: to parse mathematics takes time.
    """
    figure = Figure(dpi=72)
    renderer = FigureCanvasAgg(figure).get_renderer()
    ruler = figure.text(0, 0, "", size=size)

    @functools.cache
    def inches(word):
        ruler.set_text(word)
        return ruler.get_window_extent(renderer).width / 72

    blank = inches("x x") - inches("xx")
    lines, room = [], 0.0
    for word in text.split(" "):
        if lines and blank + inches(word) <= room:
            lines[-1] += f" {word}"
            room -= blank + inches(word)
        else:
            lines.append(word)
            room = width - inches(word)
    return [line.replace("~", " ") for line in lines]


def line(name):
    """Return the keywords of an estimator's line."""
    own = look(name)
    return {"color": own.colour, "linestyle": (0, own.dash) if own.dash else "-"}


def point(name):
    """Return the keywords of an estimator's points."""
    own = look(name)
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.5}
    return {"marker": own.marker, "markersize": 4.6, "markerfacecolor": own.colour} | edge


def bars(name):
    """Return the keywords of an estimator's error bars."""
    return {"elinewidth": 1, "ecolor": look(name).colour, "zorder": 3, "linestyle": "none"}


def exact_and_measured(axis, rows, x, name, look=None):
    """Draw the variance of an estimator over a column x: a line of exact values, measured points with standard errors."""
    own = look or name
    rows = rows[rows["estimator"] == name].sort_values(x)
    axis.plot(rows[x], rows["exact_variance"], zorder=2, **line(own))
    seen = rows[rows["count"] > 0]
    axis.errorbar(seen[x], seen["variance"], yerr=seen["variance_stderr"], **bars(own), **point(own))


def reference(axis, x, y, label, at, align="center"):
    """Draw a thin line for a law of growth, and its label at a point."""
    axis.plot(x, y, color=QUIET, linewidth=0.9, zorder=1)
    axis.annotate(label, at, color=QUIET, size=8, ha=align, va="center", annotation_clip=False)


def finish(figure, axes, labels):
    """Give the panels their letters and titles, and take away the lines that say nothing."""
    import seaborn

    seaborn.despine(fig=figure)
    for letter, axis, label in zip("abcdefgh", axes, labels, strict=False):
        for text, offset, weight in ((letter, 0, "bold"), (label, 13, "normal")):
            axis.annotate(text, (0, 1), (offset, 7), "axes fraction", "offset points", weight=weight, size=9.5)


def logarithmic(axis, every=2):
    """Make the y axis logarithmic with a label at every so many decades."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(base=10.0**every, numticks=30))
    axis.yaxis.set_minor_locator(LogLocator(base=10.0 ** max(every // 2, 1), numticks=60))
    axis.yaxis.set_minor_formatter(NullFormatter())


def plain_ticks(axis, values, which="x"):
    """Label these values alone, and as plain numbers."""
    one = getattr(axis, f"{which}axis")
    one.set_major_locator(FixedLocator(values))
    one.set_major_formatter(FixedFormatter([f"{x:g}" for x in values]))
    one.set_minor_formatter(NullFormatter())


def number(x, digits=3):
    """Return a number as mathematics, in powers of ten where it is large or small."""
    text = f"{x:.{digits}g}"
    if "e" not in text:
        return text.replace("-", "\N{MINUS SIGN}")
    mantissa, _, exponent = text.partition("e")
    return rf"${mantissa}\times10^{{{int(exponent)}}}$".replace(r"$1\times", "$")


def remark(about):
    """Return what a caption says of a quick run, in which points are fewer and errors larger."""
    return " (a quick run)" if about["quick"] else ""
