"""Reading results and writing figures: nothing is computed here, and nothing of the library is needed."""

import json
import os
import pathlib
from typing import Any, NamedTuple

import pandas

RESULTS = pathlib.Path(__file__).parents[1] / "studies" / "results"
FIGURES = pathlib.Path(__file__).parent
DPI = 200


class Results(NamedTuple):
    """What a study found: its rows, and where they come from (the JSON file beside them)."""

    rows: pandas.DataFrame
    about: dict[str, Any]


def read(name, folder=RESULTS):
    """Return the results of a study; those of a quick run where there are no full ones.

    Raises
    ------
    FileNotFoundError
        Saying which command makes them.
    """
    for place in (pathlib.Path(folder), pathlib.Path(folder) / "quick"):
        table, about = place / f"{name}.csv", place / f"{name}.json"
        if table.exists() and about.exists():
            rows = pandas.read_csv(table)
            return Results(rows, json.loads(about.read_text(encoding="utf-8")))
    raise FileNotFoundError(f"there are no results of {name} in {folder}: run python -m studies {name}")


def source(about):
    """Return a few words on where the numbers come from."""
    return f"{about['command']}; mcgrad {about['versions']['mcgrad']}" + ("; a quick run" if about["quick"] else "")


def save(figure, name, title, about, folder=FIGURES):
    """Write NAME.pdf and NAME.png with the provenance in their metadata; return the paths.

    No date goes into the files (that of the results is in their provenance), so that drawing again gives the same bytes.
    """
    origin = json.dumps(about, sort_keys=True)
    pdf = {"Title": title, "Subject": source(about), "Keywords": origin, "CreationDate": None}
    png = {"Title": title, "Source": source(about), "Description": origin, "Software": None}
    paths = []
    for kind, metadata in (("pdf", pdf), ("png", png)):
        path = pathlib.Path(folder) / f"{name}.{kind}"
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata)
        os.replace(temporary, path)
        paths.append(path)
    return paths
