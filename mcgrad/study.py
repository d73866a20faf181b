"""What study scripts share: settings -> tidy rows -> CSV, with provenance, and nothing lost when interrupted.

A study asks one question. It lists its settings (plain dicts), and turns each into rows (plain dicts, too). `run` keeps
the rows of every finished setting in a partial file beside the result, so that an interrupted study goes on where it
stopped, and writes NAME.csv and NAME.json (where the numbers come from) once all are there.
"""

import csv
import dataclasses
import hashlib
import io
import json
import math
import pathlib
import time
from collections.abc import Callable

import mcgrad as mg

from . import records
from .merge_rows import MOMENTS, Misfit, merged
from .progress import StudyProgress, compiling
from .provenance import fingerprint, provenance
from .records import Busy as Busy

# The columns of `measured`: `count` trajectories from number `start` on. A count of 0: exact values only.
MEASURED = ("estimator", "parameter", "exact_mean", "exact_variance", "count", "start", "nonfinite", *MOMENTS)
PRESETS = ("quick", "default", "full")


@dataclasses.dataclass(frozen=True)
class Study:
    """One question, and how to answer it.

    Attributes
    ----------
    name, question : str
        What its files are called; one line.
    columns : tuple of str
        Of the CSV file, in order.
    settings : callable
        settings(quick) -> list of dicts that JSON can hold; `quick` asks for a few seconds of work. One with `count` and
        `start` measures trajectories start, ..., start + count - 1.
    rows : callable
        rows(setting, seed, threads) -> list of dicts with keys from `columns`; a missing key is an empty cell.
    report : callable
        report(rows) -> the answer in a few lines, computed from the rows.
    full : callable, optional
        full() -> the settings of a run that takes its time; without it, a full run is the default one.
    quiet : bool
        It measures times, and wants a machine to itself: it runs when it is asked for by name.
    """

    name: str
    question: str
    columns: tuple
    settings: Callable
    rows: Callable
    report: Callable
    full: Callable | None = None
    quiet: bool = False

    def planned(self, preset, changes=None):
        """Return the settings of a preset, with some of their values changed (see `changed`)."""
        settings = self.full() if preset == "full" and self.full is not None else self.settings(preset == "quick")
        return changed(self.name, settings, changes) if changes else settings


def measured(problem, theta, estimators, *, count, start=0, seed=0, threads=None):
    """Return a row for each estimator and parameter: exact values where they are known, and measured ones if `count`."""
    options = {"threads": threads, "start": start, "progress": False}
    found = mg.measure(problem, theta, estimators, count, seed, **options) if count else None
    rows = []
    for name, estimator in estimators.items():
        # Of an estimator that is biased, the mean is not the gradient.
        mean, variance = (_exact(f, problem, theta, estimator) for f in (mg.exact.mean, mg.exact.variance))
        for p, parameter in enumerate(problem.parameters):
            row = {"estimator": name, "parameter": parameter, "count": count}
            row |= {"exact_mean": mean[p], "exact_variance": variance[p]}
            if count:
                x = found[name]
                row |= {"count": x.count, "start": start, "nonfinite": x.nonfinite}
                row |= {key: float(getattr(x, key)[p]) for key in MOMENTS}
                row["kurtosis"] = row["kurtosis"] if row["variance"] else None
            rows.append(row)
    return rows


def _exact(function, problem, theta, estimator):
    try:
        return function(problem, theta, estimator, work=0).tolist()
    except mg.exact.NoClosedForm:
        return [None] * len(problem.parameters)


def worst_deviation(rows):
    """Return the largest |variance - exact| in standard errors among measured rows, and how many of these there are."""
    rows = [r for r in rows if r["count"] and r["exact_variance"]]
    scores = [abs(r["variance"] - r["exact_variance"]) / r["variance_stderr"] for r in rows]
    return max(scores, default=math.nan), len(scores)


# ---- settings ----------------------------------------------------------------------------------------------------


def changed(study, settings, changes):
    """Return settings with some of their values replaced, those that become equal but once.

    Settings that had ranges of trajectories of their own keep that, whatever the new `count`. One that measures nothing
    (`count` 0) goes on measuring nothing.

    Raises
    ------
    Misfit
        For a name that no setting has; it says which there are.
    """
    known = sorted({key for s in settings for key in s} - {"start"})
    for name in changes:
        if name not in known:
            raise Misfit(f"{study}: --set {name}: the settings of this study have {', '.join(known)}")
    found = []
    for s in settings:
        own = {k: v for k, v in changes.items() if k in s and not (k == "count" and not s["count"])}
        found.append(s | own)
    if "count" in changes:
        longest = {}  # of all settings that share a range
        for old, new in zip(settings, found, strict=True):
            if "start" in old and old.get("count"):
                longest[old["start"]] = max(longest.get(old["start"], 0), new["count"])
        starts, at = {}, 0
        for start in sorted(longest):
            starts[start], at = at, at + longest[start]
        found = [s | ({"start": starts[s["start"]]} if s.get("start") in starts else {}) for s in found]
    kept, first = [], {}
    for old, new in zip(settings, found, strict=True):
        was, is_now = (json.dumps({k: v for k, v in s.items() if k != "start"}, sort_keys=True) for s in (old, new))
        if first.setdefault(is_now, was) == was:  # what has become equal to another one is dropped
            kept.append(new)
    return kept


def shifted(name, settings, part):
    """Return the settings of a further part of a study: the same ones on trajectories that no part before has used."""
    if not any(s.get("count") and "start" in s for s in settings):
        raise Misfit(f"{name}: --more needs settings that say `count` and `start`; this study has none")
    span = 4 * max(
        s["start"] + s["count"] for s in settings if s.get("count") and "start" in s
    )  # pilots and folds included
    return [s | ({"start": s["start"] + part * span} if s.get("count") and "start" in s else {}) for s in settings]


# ---- running -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a study is to be run; what of it the command line says."""

    preset: str = "default"
    seed: int = 0
    changes: dict = dataclasses.field(default_factory=dict)
    more: bool = False
    threads: int | None = None
    progress: object = None
    command: str = "python -m studies {name}"

    def folder(self, results):
        """Return where the files go: those of quick and of changed runs never replace others."""
        results = pathlib.Path(results)
        results = results / "quick" if self.preset == "quick" else results
        return results / "set" if self.changes else results

    def said(self, study, parts):
        """Return the command that makes these results, for their provenance."""
        words = [self.command.format(name=study.name), f"--seed {self.seed}"]
        words += [f"--{self.preset}"] * (self.preset != "default")
        words += [f"--set {k}={json.dumps(v)}" for k, v in self.changes.items()]
        return " ".join(words) + (f", then --more {parts - 1} time(s)" if parts > 1 else "")


def run(study, folder, *, preset="default", seed=0, changes=None, more=False, threads=None, progress=None):
    """Run a study, or what is left of it; write its CSV and JSON files, return its rows.

    Parameters
    ----------
    study : Study
    folder : path
        Where the files go; those of a quick run to `folder`/quick and those of changed settings to `set` in there, so that
        they never replace others.
    preset : {"quick", "default", "full"}
        A few seconds of work, minutes, or as long as it takes.
    seed : int
    changes : dict, optional
        Values of settings to be replaced, see `changed`.
    more : bool
        Add as many trajectories again to results that are there; their ranges go on.
    threads : int, optional
        By default, as many as there are cores; numbers do not depend on it.
    progress : None, bool, callable or tqdm
        None and True: say on stderr how far it is, after two seconds, and how long it will take without the compiler. A
        callable gets (done, total), in settings weighed by their trajectories.

    Raises
    ------
    Busy
        If another process is running this study in this folder.
    Misfit
        For changes and additions that do not fit.
    """
    return carry_out(study, folder, Plan(preset, seed, changes or {}, more, threads, progress))


def carry_out(study, folder, plan):
    """Run a study as planned, or what is left of it; see `run`."""
    if plan.preset not in PRESETS:
        raise ValueError(f"preset is one of {', '.join(PRESETS)}, not {plan.preset!r}")
    folder = plan.folder(folder)
    settings = study.planned(plan.preset, plan.changes)  # what is wrong with changes is said before a folder is made
    folder.mkdir(parents=True, exist_ok=True)
    with records.locked(folder / f"{study.name}.lock"):
        if not plan.more:
            return _written(study, folder, plan, settings, *_rows(study, folder, plan, settings), 1)
        old, about = _finished(study, folder, plan)
        parts = about["parts"]
        new, seconds, partial = _rows(study, folder, plan, shifted(study.name, settings, parts))
        if len(new) != len(old):
            raise Misfit(f"{study.name}: --more made {len(new)} rows, and there are {len(old)}")
        rows = [merged(study.name, x, y) for x, y in zip(old, read(as_csv(study.columns, new)), strict=True)]
        return _written(study, folder, plan, settings, rows, about["seconds"] + seconds, partial, parts + 1)


def _rows(study, folder, plan, settings):
    """Return the rows of all settings, the seconds that they took, and the file of those that are finished."""
    partial = folder / f"{study.name}.partial"
    depends = [study.name, plan.seed, plan.preset, fingerprint(study)]
    keys = [hashlib.sha256(json.dumps([depends, s]).encode()).hexdigest() for s in settings]
    kept = records.kept(partial)
    bar = StudyProgress(study.name, work(settings), [key in kept for key in keys], plan.progress)
    with open(partial, "ab") as stream, bar:
        for number, (key, setting) in enumerate(zip(keys, settings, strict=True)):
            if key not in kept:
                clock, before = time.perf_counter(), compiling()
                rows = study.rows(setting, plan.seed, plan.threads)
                kept[key] = {"key": key, "seconds": time.perf_counter() - clock, "rows": rows}
                stream.write(records.line(kept[key]))
                stream.flush()
                bar.finished(number, compiling() - before)
    return [row for key in keys for row in kept[key]["rows"]], sum(kept[key]["seconds"] for key in keys), partial


def work(settings):
    """Return how long each setting may take, relative to the others: its trajectories times its horizon, and something."""
    sizes = [float((s.get("count") or 0) * (s.get("horizon") or 1)) for s in settings]
    mean = sum(sizes) / max(len(sizes), 1) or 1.0
    return [1.0 + size / mean for size in sizes]


def _written(study, folder, plan, settings, rows, seconds, partial, parts):
    """Write the files of a finished study; return its rows."""
    facts = {"seed": plan.seed, "preset": plan.preset, "quick": plan.preset == "quick"}
    facts |= {"set": plan.changes} if plan.changes else {}
    facts |= {"counts": sorted({s["count"] for s in settings if s.get("count")}), "parts": parts}
    facts |= {"settings": len(settings), "rows": len(rows), "seconds": seconds, "sources": fingerprint(study)}
    write(folder / f"{study.name}.csv", as_csv(study.columns, rows))
    about = provenance(study, plan.said(study, parts), **facts)
    write(folder / f"{study.name}.json", json.dumps(about, indent=2) + "\n")
    partial.unlink()
    return rows


def _finished(study, folder, plan):
    """Return the rows and the provenance of results that more is to be added to."""
    table, source = folder / f"{study.name}.csv", folder / f"{study.name}.json"
    if not (table.exists() and source.exists()):
        raise Misfit(f"{study.name}: --more adds to finished results, and there are none in {folder}; run it without")
    about = json.loads(source.read_text(encoding="utf-8"))
    for name, own, what in (
        ("seed", plan.seed, "seed"),
        ("preset", plan.preset, "preset"),
        ("set", plan.changes or None, "changed settings"),
        ("sources", fingerprint(study), "sources and versions"),
    ):
        if about.get(name) != own:
            raise Misfit(
                f"{study.name}: --more adds trajectories of the same {what} alone, and the results in {folder} are of others; "
                "run it anew"
            )
    return read(table.read_text(encoding="utf-8")), about


# ---- files -------------------------------------------------------------------------------------------------------


def as_csv(columns, rows):
    """Return rows as the text of a CSV file, with floats that read back to the same bits and None as an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")  # raises ValueError for a key that is no column
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read(text):
    """Return the rows of a CSV file: numbers as such, empty cells as None."""
    return [{key: _value(x) for key, x in row.items()} for row in csv.DictReader(text.splitlines())]


def _value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text or None


def write(path, text):
    """Write a file in one stroke: whoever reads it sees the old text or the new one."""
    records.write(path, text.encode())
