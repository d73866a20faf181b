"""A comparison as files: one CSV line for each estimator, one for each of its parameters, the figure, and where they come from.

    STEM.csv    STEM_parameters.csv    STEM.pdf    STEM.png    STEM.json

STEM.json holds a digest of each of the others. A file is replaced only if it is, byte for byte, one that the JSON file beside
it vouches for; if any of them is not, all are written under a number, STEM_2 and so on.
"""

import datetime
import hashlib
import json
import os
import pathlib
from typing import Any

from ..csv_rows import as_csv
from ..provenance import versions
from .comparison import Comparison

MADE_BY = "mcgrad compare"


def write_files(
    comparison: Comparison, folder: pathlib.Path, stem: str, figure: bool = True
) -> tuple[list[pathlib.Path], pathlib.Path | None]:
    """Write the files of a comparison; return their paths, and a file that was in the way or None.

    Parameters
    ----------
    folder : Path
        It is made if it is not there.
    stem : str
        What the files are called, without number and ending.
    figure : bool
        Whether to draw.

    Raises
    ------
    OSError
        Where that cannot be done.
    """
    contents = {".csv": _csv(comparison.records()), "_parameters.csv": _csv(comparison.parameter_records())}
    if figure:
        from .figure import draw, rendered  # it loads Matplotlib

        contents |= {f".{kind}": x for kind, x in rendered(draw(comparison), comparison.title).items()}
    folder.mkdir(parents=True, exist_ok=True)
    stem, foreign = _free(folder, stem)
    files = {f"{stem}{ending}": content for ending, content in contents.items()}
    about = {
        "made_by": MADE_BY,
        "title": comparison.title,
        "recommendation": comparison.recommendation(),
        "seed": comparison.seed,
        "batch": comparison.batch,
        "count": max(row.count + row.nonfinite for row in comparison.rows),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "files": {name: _digest(content) for name, content in files.items()},
    }
    files[f"{stem}.json"] = (json.dumps(about, indent=2) + "\n").encode()
    for name, content in files.items():
        temporary = folder / f"{name}.{os.getpid()}.tmp"
        temporary.write_bytes(content)
        os.replace(temporary, folder / name)
    return [folder / name for name in files], foreign


def _free(folder: pathlib.Path, stem: str) -> tuple[str, pathlib.Path | None]:
    """Return the first stem, numbers tried in order, all of whose files are ours or not there, and what was in the way."""
    foreign: pathlib.Path | None = None
    number = 1
    while True:
        tried = stem if number == 1 else f"{stem}_{number}"
        in_the_way = _foreign(folder, tried)
        if in_the_way is None:
            return tried, foreign
        foreign, number = foreign or in_the_way, number + 1


def _foreign(folder: pathlib.Path, stem: str) -> pathlib.Path | None:
    """Return the path of a file with one of our names that we have not written, or None."""
    vouched = _vouched(folder / f"{stem}.json")
    names = [f"{stem}{ending}" for ending in (".json", ".csv", "_parameters.csv", ".pdf", ".png")]
    for path in (folder / name for name in names):
        if not path.exists() and not path.is_symlink():
            continue
        if vouched is None or not path.is_file():
            return path
        if path.suffix != ".json" and vouched.get(path.name) != _digest(path.read_bytes()):
            return path
    return None


def _vouched(path: pathlib.Path) -> dict[str, Any] | None:
    """Return {name: digest} from a JSON file that we wrote, {} if there is none, None if it is somebody else's."""
    if not path.exists():
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return dict(about["files"]) if about["made_by"] == MADE_BY else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _csv(rows: list[dict[str, Any]]) -> bytes:
    return as_csv(tuple(dict.fromkeys(key for row in rows for key in row)), rows).encode()
