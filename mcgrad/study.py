"""What study scripts share: settings -> tidy rows -> CSV, with provenance, and nothing lost when interrupted.

A study asks one question. It lists its settings (plain dicts), and turns each into rows (plain dicts, too). `run` keeps
the rows of every finished setting in a partial file beside the result, so that an interrupted study goes on where it
stopped, and writes NAME.csv and NAME.json (where the numbers come from) once all are there.
"""

import ast
import csv
import dataclasses
import datetime
import hashlib
import importlib.util
import io
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable

import mcgrad as mg

from . import records
from .records import Busy as Busy

# The columns of `measured`: `count` trajectories from number `start` on. A count of 0: exact values only.
MOMENTS = ("mean", "stderr", "variance", "variance_stderr", "kurtosis")
MEASURED = ("estimator", "parameter", "exact_mean", "exact_variance", "count", "start", "nonfinite", *MOMENTS)
PRESETS = ("quick", "default", "full")
PATIENCE = 2.0  # seconds before the first word about progress


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
        settings(quick) -> list of dicts that JSON can hold; `quick` asks for a few seconds of work.
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

    def planned(self, preset):
        """Return the settings of a preset."""
        if preset == "full" and self.full is not None:
            return self.full()
        return self.settings(preset == "quick")


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
        return function(problem, theta, estimator).tolist()
    except mg.exact.NoClosedForm:
        return [None] * len(problem.parameters)


def worst_deviation(rows):
    """Return the largest |variance - exact| in standard errors among measured rows, and how many of these there are."""
    rows = [r for r in rows if r["count"] and r["exact_variance"]]
    scores = [abs(r["variance"] - r["exact_variance"]) / r["variance_stderr"] for r in rows]
    return max(scores, default=math.nan), len(scores)


def run(study, folder, *, preset="default", seed=0, threads=None, progress=True):
    """Run a study, or what is left of it; write its CSV and JSON files, return its rows.

    Parameters
    ----------
    study : Study
    folder : path
        Where the files go; those of a quick run to `folder`/quick, so that it never replaces full results.
    preset : {"quick", "default", "full"}
        A few seconds of work, minutes, or as long as it takes.
    seed : int
    threads : int, optional
        By default, as many as there are cores; numbers do not depend on it.
    progress : bool
        Say on stderr how far it is, after two seconds.

    Raises
    ------
    Busy
        If another process is running this study in this folder.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset is one of {', '.join(PRESETS)}, not {preset!r}")
    folder = pathlib.Path(folder) / "quick" if preset == "quick" else pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with records.locked(folder / f"{study.name}.lock"):
        return _run(study, folder, preset, seed, threads, progress)


def _run(study, folder, preset, seed, threads, progress):
    partial = folder / f"{study.name}.partial"
    settings = study.planned(preset)
    facts = {
        "seed": seed,
        "preset": preset,
        "quick": preset == "quick",
        "counts": sorted({s["count"] for s in settings if s.get("count")}),
    }
    depends = [study.name, seed, preset, fingerprint(study)]
    keys = [hashlib.sha256(json.dumps([depends, s]).encode()).hexdigest() for s in settings]
    kept = records.kept(partial)
    began = spoken = time.monotonic()
    with open(partial, "ab") as stream:
        for number, (key, setting) in enumerate(zip(keys, settings, strict=True), 1):
            if key not in kept:
                clock = time.perf_counter()
                rows = study.rows(setting, seed, threads)
                kept[key] = {"key": key, "seconds": time.perf_counter() - clock, "rows": rows}
                stream.write(records.line(kept[key]))
                stream.flush()
            now = time.monotonic()
            if progress and now - began > PATIENCE and (now - spoken > PATIENCE or number == len(settings)):
                spoken = now
                print(f"{study.name}: {number} of {len(settings)} settings", file=sys.stderr, flush=True)
    rows = [row for key in keys for row in kept[key]["rows"]]
    facts |= {"settings": len(settings), "rows": len(rows), "seconds": sum(kept[key]["seconds"] for key in keys)}
    write(folder / f"{study.name}.csv", as_csv(study.columns, rows))
    write(folder / f"{study.name}.json", json.dumps(provenance(study, **facts), indent=2) + "\n")
    partial.unlink()
    return rows


def as_csv(columns, rows):
    """Return rows as the text of a CSV file, with floats that read back to the same bits and None as an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")  # raises ValueError for a key that is no column
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write(path, text):
    """Write a file in one stroke: whoever reads it sees the old text or the new one."""
    records.write(path, text.encode())


def fingerprint(study):
    """Return a hash of what a row depends on: the sources of this package and of the study, versions of libraries.

    The study's sources are its own file and all that it imports, directly or not, from outside of installed packages.
    """
    digest = hashlib.sha256(json.dumps(versions()).encode())
    own = pathlib.Path(__file__).parent
    for path in (*sorted(own.rglob("*.py")), *sorted(_imported(study.rows.__module__, own))):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _imported(name, without):
    """Return the files of a module and of all that it imports, except installed packages and what is in a folder."""
    installed = [pathlib.Path(p) for key, p in sysconfig.get_paths().items() if "lib" in key]
    found, waiting = {}, [name]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in found or path is None or without in path.parents or any(x in path.parents for x in installed):
            continue
        found[name] = path
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        waiting += [".".join(package[:k]) for k in range(1, len(package))]
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*base, *([node.module] if node.module else [])])
                waiting += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return set(found.values())


def _source(name):
    """Return the file of a module's source, loaded or not; None of what is no module or has none."""
    try:
        module = sys.modules.get(name)
        path = module.__file__ if module is not None else importlib.util.find_spec(name).origin
    except (ImportError, AttributeError, ValueError):
        return None
    return pathlib.Path(path).resolve() if path and path.endswith(".py") else None


def versions():
    """Return {name: version} of Python and of the libraries that numbers come from."""
    import llvmlite
    import numba
    import numpy
    import scipy

    libraries = {m.__name__: m.__version__ for m in (numpy, numba, llvmlite, scipy, mg)}
    return {"python": platform.python_version()} | libraries


def provenance(study, **facts):
    """Return where results come from, as a dict for JSON; it names no person, path or host."""
    command = f"python -m studies {study.name} --seed {facts['seed']}" + (
        "" if facts["preset"] == "default" else f" --{facts['preset']}"
    )
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {"study": study.name, "question": study.question, "command": command, "date": date} | facts
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
    machine = {"cpu": cpu or platform.processor(), "cores": os.cpu_count(), "platform": platform.platform()}
    return about | {"versions": versions(), "git": _git(), "machine": machine}


def _git():
    """Return commit and whether any source differs from it, or None if this package does not lie in a repository of its own."""

    def git(*arguments):
        command = ["git", "-C", str(pathlib.Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", ":/*.py"))}
    except (OSError, subprocess.CalledProcessError):
        return None
