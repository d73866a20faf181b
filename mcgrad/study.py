"""What study scripts share: settings -> tidy rows -> CSV, with provenance, and nothing lost when interrupted.

A study asks one question. It lists its settings (plain dicts), and turns each into rows (plain dicts, too). `run` keeps
the rows of every finished setting in a partial file beside the result, so that an interrupted study goes on where it
stopped, and writes NAME.csv and NAME.json (where the numbers come from) once all are there.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import math
import pathlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import exact, executors, records, shards, study_pieces, validate
from .csv_rows import as_csv, from_csv
from .estimators.estimator import Estimator
from .measurement import measure
from .merge_rows import MOMENTS, Misfit, merged
from .problem import Problem
from .progress import StudyProgress, compiling
from .provenance import fingerprint, provenance
from .records import Busy as Busy
from .study_settings import changed, shifted, work
from .targets import until as precise

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
    libraries : tuple of str
        What its numbers come from besides the libraries of mcgrad: versions are noted with its results, where installed.
    """

    name: str
    question: str
    columns: tuple[str, ...]
    settings: Callable
    rows: Callable
    report: Callable
    full: Callable | None = None
    quiet: bool = False
    libraries: tuple[str, ...] = ()

    def planned(self, preset: str, changes: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the settings of a preset, with some of their values changed (see `study_settings.changed`)."""
        settings = self.full() if preset == "full" and self.full is not None else self.settings(preset == "quick")
        return changed(self.name, settings, changes) if changes else settings


def measured(
    problem: Problem,
    theta: NDArray[np.float64],
    estimators: Mapping[str, Estimator],
    *,
    count: int,
    start: int = 0,
    seed: int = 0,
    threads: int | None = None,
    until: float | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each estimator and parameter: exact values where they are known, and measured ones if `count`.

    With `until`, a relative standard error of the total variance, no more than `count` trajectories, and as many of these as
    that takes; see `mcgrad.until`.
    """
    options: dict[str, Any] = {"threads": threads, "start": start, "progress": False}
    number = count if until is None or not count else precise(until, most=count)
    found: Any = measure(problem, theta, dict(estimators), number, seed, **options) if count else None
    rows = []
    for name, estimator in estimators.items():
        # Of an estimator that is biased, the mean is not the gradient.
        mean, variance = (_exact(f, problem, theta, estimator) for f in (exact.mean, exact.variance))
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


def _exact(
    function: Callable[..., Any], problem: Problem, theta: NDArray[np.float64], estimator: Estimator
) -> list[float | None]:
    try:
        return function(problem, theta, estimator, work=0).tolist()
    except exact.NoClosedForm:
        return [None] * len(problem.parameters)


def worst_deviation(rows: list[dict[str, Any]]) -> tuple[float, int]:
    """Return the largest |variance - exact| in standard errors among measured rows, and how many of these there are."""
    rows = [r for r in rows if r["count"] and r["exact_variance"]]
    scores = [abs(r["variance"] - r["exact_variance"]) / r["variance_stderr"] for r in rows]
    return max(scores, default=math.nan), len(scores)


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
    executor: concurrent.futures.Executor | None = None
    shard: shards.Shard | None = None
    merge: bool = False
    command: str = "python -m studies {name}"

    def folder(self, results: str | pathlib.Path) -> pathlib.Path:
        """Return where the files go: those of quick and of changed runs never replace others."""
        results = pathlib.Path(results)
        results = results / "quick" if self.preset == "quick" else results
        return results / "set" if self.changes else results

    def said(self, study: "Study", parts: int) -> str:
        """Return the command that makes these results, for their provenance."""
        words = [self.command.format(name=study.name), f"--seed {self.seed}"]
        words += [f"--{self.preset}"] * (self.preset != "default")
        words += [f"--set {k}={json.dumps(v)}" for k, v in self.changes.items()]
        return " ".join(words) + (f", then --more {parts - 1} time(s)" if parts > 1 else "")


def run(
    study: Study,
    folder: str | pathlib.Path,
    *,
    preset: str = "default",
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
    more: bool = False,
    threads: int | None = None,
    progress: Any = None,
    executor: Any = None,
    shard: shards.Shard | None = None,
    merge: bool = False,
) -> list[dict[str, Any]]:
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
        Values of settings to be replaced, see `mcgrad.study_settings.changed`.
    more : bool
        Add as many trajectories again to results that are there; their ranges go on.
    threads : int, optional
        By default, as many as there are cores, and one in the workers of an executor; numbers do not depend on it.
    progress : None, bool, callable or tqdm
        None and True: say on stderr how far it is, after two seconds, and how long it will take without the compiler. A
        callable gets (done, total), in settings weighed by their trajectories.
    executor : concurrent.futures.Executor, optional
        Each setting is a piece of work for it, such as those of `mcgrad.engines`; the function `rows` is at the top of a file
        that workers have, too.
    shard : Shard, optional
        Do the settings of this one of several shards alone, keep their rows in a file, and return them; see `mcgrad.shards`.
    merge : bool
        Do nothing but put the files of all shards together.

    Raises
    ------
    Busy
        If another process is running this study in this folder.
    Misfit
        For changes, additions and shards that do not fit.
    """
    plan = Plan(preset, seed, dict(changes or {}), more, threads, progress, executor, shard, merge)
    return carry_out(study, folder, plan)


def carry_out(study: Study, folder: str | pathlib.Path, plan: Plan) -> list[dict[str, Any]]:
    """Run a study as planned, or what is left of it; see `run`."""
    if plan.preset not in PRESETS:
        raise ValueError(f"preset is one of {', '.join(PRESETS)}, not {plan.preset!r}")
    validate.integer("seed", plan.seed, 0, 2**64 - 1)
    if plan.threads is not None:
        validate.integer("threads", plan.threads, 1, 4096)
    if study.quiet and (plan.executor is not None or plan.shard is not None or plan.merge):
        raise Misfit(
            f"{study.name}: it measures times, and wants a machine to itself: run it without an engine or shards"
        )
    folder = plan.folder(folder)
    settings = study.planned(plan.preset, plan.changes)  # what is wrong with changes is said before a folder is made
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as locks:
        if plan.shard is not None:
            path = plan.shard.path(folder, study.name)
            locks.enter_context(records.locked(path.with_name(f"{path.name}.lock")))
            return _answers(study, folder, plan, settings)[0]
        locks.enter_context(records.locked(folder / f"{study.name}.lock"))
        if plan.merge:
            for shard in shards.there(folder, study.name):
                path = shard.path(folder, study.name)
                locks.enter_context(records.locked(path.with_name(f"{path.name}.lock")))
        rows, seconds, parts, done = _answers(study, folder, plan, settings)
        _write(study, folder, plan, settings, rows, seconds, parts)
        for path in done:
            path.unlink()
        return rows


def _answers(
    study: Study, folder: pathlib.Path, plan: Plan, settings: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], float, int, list[pathlib.Path]]:
    """Return (rows, seconds, parts, files of records) of all settings, added to those that are there for `--more`."""
    if not plan.more:
        rows, seconds, done = _rows(study, folder, plan, settings, 1)
        return rows, seconds, 1, done
    old, about = _finished(study, folder, plan)
    parts = about["parts"] + 1
    new, seconds, done = _rows(study, folder, plan, shifted(study.name, settings, parts - 1), parts)
    if plan.shard is not None:
        return new, seconds, parts, done
    if len(new) != len(old):
        raise Misfit(f"{study.name}: --more made {len(new)} rows, and there are {len(old)}")
    rows = [merged(study.name, x, y) for x, y in zip(old, from_csv(as_csv(study.columns, new)), strict=True)]
    return rows, about["seconds"] + seconds, parts, done


def _rows(
    study: Study, folder: pathlib.Path, plan: Plan, settings: list[dict[str, Any]], parts: int
) -> tuple[list[dict[str, Any]], float, list[pathlib.Path]]:
    """Return the rows of settings, the seconds that they took, and the files with the records of those that are finished."""
    about = {"seed": plan.seed, "preset": plan.preset, "sources": fingerprint(study)}
    keys = [hashlib.sha256(json.dumps([study.name, *about.values(), s]).encode()).hexdigest() for s in settings]
    about |= {"changed settings": plan.changes, "parts": parts}
    weights, mine = work(settings), range(len(settings))
    if plan.merge:
        found = shards.there(folder, study.name)
        kept = shards.gathered(study.name, folder, found, keys, weights, about)
        done = [shard.path(folder, study.name) for shard in found]
    else:
        done = [folder / f"{study.name}.partial"]
        if plan.shard is not None:
            dealer = shards.dealt(weights, plan.shard.total)
            mine = [k for k in mine if dealer[k] == plan.shard.number]
            done = [plan.shard.path(folder, study.name)]
        kept = records.kept(done[0])
        bar = StudyProgress(study.name, [weights[k] for k in mine], [keys[k] in kept for k in mine], plan.progress)
        with open(done[0], "ab") as stream, bar:
            left = [(place, settings[k]) for place, k in enumerate(mine) if keys[k] not in kept]
            with contextlib.closing(_computed(study, plan, left, [weights[k] for k in mine])) as computed:
                for place, rows, seconds, compiled in computed:
                    key = keys[mine[place]]
                    kept[key] = {"key": key, "seconds": seconds, "rows": rows} | ({"of": about} if plan.shard else {})
                    stream.write(records.line(kept[key]))
                    stream.flush()
                    bar.finished(place, compiled)
    own = [kept[keys[k]] for k in mine]
    return [row for record in own for row in record["rows"]], sum(record["seconds"] for record in own), done


def _computed(
    study: Study, plan: Plan, left: list[tuple[int, dict[str, Any]]], weights: Sequence[float]
) -> Generator[tuple[int, list[dict[str, Any]], float, float], None, None]:
    """Yield (place, rows, seconds, seconds of the compiler) of settings as they are finished; `left` has (place, setting)."""
    if plan.executor is None:
        for place, setting in left:
            clock, before = time.perf_counter(), compiling()
            rows = study.rows(setting, plan.seed, plan.threads)
            yield place, rows, time.perf_counter() - clock, compiling() - before
        return
    left = sorted(left, key=lambda x: -weights[x[0]])  # the longest first, so that none is waited for at the end
    where = study_pieces.origin(study)
    pieces = ((where, setting, plan.seed, plan.threads or 1) for _, setting in left)
    with contextlib.closing(executors.as_finished(plan.executor, study_pieces.rows, pieces)) as found:
        for number, (rows, seconds) in found:
            yield left[number][0], rows, seconds, 0.0


def _write(
    study: Study,
    folder: pathlib.Path,
    plan: Plan,
    settings: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    seconds: float,
    parts: int,
) -> None:
    """Write the files of a finished study."""
    facts = {"seed": plan.seed, "preset": plan.preset, "quick": plan.preset == "quick"}
    facts |= {"set": plan.changes} if plan.changes else {}
    facts |= {"executor": executors.called(plan.executor)} if plan.executor else {}
    facts |= {"shards": len(shards.there(folder, study.name))} if plan.merge else {}
    facts |= {"counts": sorted({s["count"] for s in settings if s.get("count")}), "parts": parts}
    facts |= {"settings": len(settings), "rows": len(rows), "seconds": seconds, "sources": fingerprint(study)}
    records.write(folder / f"{study.name}.csv", as_csv(study.columns, rows).encode())
    about = provenance(study, plan.said(study, parts), **facts)
    records.write(folder / f"{study.name}.json", (json.dumps(about, indent=2) + "\n").encode())


def _finished(study: Study, folder: pathlib.Path, plan: Plan) -> tuple[list[dict[str, Any]], dict[str, Any]]:
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
    return from_csv(table.read_text(encoding="utf-8")), about
