"""The figure of a user's study, from its results alone, with their provenance in the files."""

import io
import json
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

from .merge_rows import MOMENTS, Misfit
from .records import write

DPI = 200
NEEDED = {"estimator", "variance", "variance_stderr", "exact_variance", "count"}
RESERVED = {*NEEDED, *MOMENTS, "parameter", "exact_mean", "start", "nonfinite"}


def read(name: str, folder: pathlib.Path) -> tuple[Any, dict[str, Any]]:
    """Return (rows, about) of a study, those of a quick run where there are no others.

    Raises
    ------
    Misfit
        Where there are none.
    """
    import pandas

    for place in (pathlib.Path(folder), pathlib.Path(folder) / "quick"):
        table, about = place / f"{name}.csv", place / f"{name}.json"
        if table.exists() and about.exists():
            return pandas.read_csv(table), json.loads(about.read_text(encoding="utf-8"))
    raise Misfit(f"{name}: there are no results in {folder} yet; run `mcgrad study` on this file")


def save(figure: Any, name: str, about: Mapping[str, Any], folder: pathlib.Path) -> list[pathlib.Path]:
    """Write NAME.pdf and NAME.png, without dates, so that drawing again gives the same bytes; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    title, origin = about["question"], json.dumps(about, sort_keys=True)
    metadata = {
        "pdf": {"Title": title, "Subject": about["command"], "Keywords": origin, "CreationDate": None},
        "png": {"Title": title, "Source": about["command"], "Description": origin, "Software": None},
    }
    paths = []
    for kind, words in metadata.items():
        with io.BytesIO() as stream:
            figure.savefig(stream, format=kind, dpi=DPI, metadata=words)
            paths.append(folder / f"{name}.{kind}")
            write(paths[-1], stream.getvalue())
    return paths


def draw(rows: Any, about: Mapping[str, Any]) -> Any:
    """Return a figure of variances over the setting that varies most: lines exact, points measured, a panel for the others.

    Variances are summed over the parameters; so are their standard errors, which is what they are at most.

    Raises
    ------
    Misfit
        For rows that do not say so much.
    """
    from matplotlib.figure import Figure

    if not set(rows.columns) >= NEEDED:
        missing = ", ".join(sorted(NEEDED - set(rows.columns)))
        raise Misfit(f"{about['study']}: its rows have no {missing}; write a function draw(rows, about) for its figure")
    own = [c for c in rows.columns if c not in RESERVED and rows[c].nunique() > 1]
    numbers = [c for c in own if rows[c].dtype.kind in "if"]
    if not numbers:
        raise Misfit(f"{about['study']}: no setting varies that is a number; write a function draw(rows, about)")
    x = max(numbers, key=lambda c: rows[c].nunique())  # the first of those with the most values
    others = [c for c in own if c != x]
    panels = list(rows.groupby(others, sort=False, dropna=False)) if others else [((), rows)]
    looks = tomllib.loads(pathlib.Path(__file__).with_name("looks.toml").read_text(encoding="utf-8"))
    across = min(len(panels), 3)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(3.3 * across + 1.0, 2.7 * down + 0.9), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharex=True)
    for axis, (values, part) in zip(axes.flat, panels, strict=False):
        for k, (name, few) in enumerate(part.groupby("estimator", sort=False)):
            _curve(axis, few, x, name, _look(looks, name, k))
        positive = part[x].min() > 0 and part[x].max() / part[x].min() > 10
        axis.set(yscale="log", xscale="log" if positive else "linear", xlabel=x)
        axis.set_title(", ".join(f"{c} {v}" for c, v in zip(others, values, strict=True)), fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    axes[0, 0].set_ylabel("variance of one sample")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8
    )
    figure.suptitle(about["question"], fontsize=10, wrap=True)
    return figure


def _curve(axis: Any, rows: Any, x: str, name: str, look: Mapping[str, Any]) -> None:
    """Draw one estimator."""
    columns = ["exact_variance", "variance", "variance_stderr"]
    sums = rows.groupby(x)[columns].sum(min_count=1)
    dash = (0, tuple(look["dash"])) if look["dash"] else "-"
    axis.plot(sums.index, sums["exact_variance"], color=look["colour"], linestyle=dash, linewidth=1.3, label=name)
    seen = sums.dropna(subset=["variance"])
    options = {"color": look["colour"], "marker": look["marker"], "linestyle": "none", "markersize": 4, "elinewidth": 1}
    axis.errorbar(seen.index, seen["variance"], seen["variance_stderr"], **options)


def _look(table: Mapping[str, Any], name: str, number: int) -> Any:
    """Return how an estimator looks: as everywhere, or the next look that is free."""
    kinds = table["kinds"]
    return kinds[table["names"][name]] if name in table["names"] else list(kinds.values())[number % len(kinds)]
