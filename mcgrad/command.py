"""The command line: `mcgrad new`, `check` and `compare` for a problem of one's own, `study` and `figure` for a study."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from . import study_command
from .problem import Problem
from .version import __version__

if TYPE_CHECKING:
    from .study import Study

PATIENCE = 3.0  # seconds that a user's file may run before something is said
SILENT = 2.0  # seconds that a command may take before it says what it is at

WANTED = """it should define
    problem = mg.Problem(environment, policy, horizon)
    theta = [...]  # where to take the gradient
`mcgrad new FILE` writes one that runs"""


class Mistake(Exception):
    """Something that the user can put right; its message says what, where and how."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status: 2 for a mistake in it or in the user's file."""
    asked = _parser().parse_args(arguments)
    try:
        with _seldom_collecting() if asked.run in (_compare, _check, _figure) else contextlib.nullcontext():
            status: int = asked.run(asked)
        return status
    except Mistake as mistake:
        print(f"mcgrad: {mistake}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # of the user's: the parser is done
        what = "SystemExit: the program is ended here; put what should not run when the file is read under"
        print(f"mcgrad: {_place(stop, asked.file)}{what} `if __name__ == '__main__':`", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\nmcgrad: interrupted {_place(stop, asked.file)}".rstrip(": \n"), file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads has gone; what is left in the buffer is nobody's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mcgrad", description="Which gradient estimator has the least variance on my problem, and at what cost?"
    )
    parser.add_argument("--version", action="version", version=f"mcgrad {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    compare = commands.add_parser("compare", help="measure and time every estimator that exists for a problem")
    compare.set_defaults(run=_compare)
    compare.add_argument("file", type=pathlib.Path, help="a Python file that defines `problem` and `theta`")
    compare.add_argument("--count", type=study_command.whole(1), help="samples of each estimator (100000)")
    compare.add_argument("--batch", type=study_command.whole(1), help="samples in a batch, for the cosine (64)")
    compare.add_argument("--seed", type=study_command.SEED, default=0)
    compare.add_argument("--only", nargs="+", metavar="NAME", help="compare these estimators alone")
    compare.add_argument("--parameters", action="store_true", help="print a line for each parameter, too")
    compare.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path(), metavar="DIR", help="where files go (here)"
    )
    compare.add_argument("--no-figure", action="store_true", help="write the CSV files alone")
    check = commands.add_parser("check", help="find mistakes in a problem")
    check.set_defaults(run=_check)
    check.add_argument("file", type=pathlib.Path, help="a Python file that defines `problem` and `theta`")
    check.add_argument("--count", type=study_command.whole(1), help="trajectories whose means are compared (50000)")
    check.add_argument("--seed", type=study_command.SEED, default=0)
    study = commands.add_parser("study", help="run a study of your own, or go on with it")
    study.set_defaults(run=_study)
    study.add_argument("file", type=pathlib.Path, help="a Python file that defines `STUDY`")
    study_command.add_options(study)
    study.add_argument("--merge", action="store_true", help="put together what --shard 1/N to N/N have left")
    study.add_argument("--results", type=pathlib.Path, metavar="DIR", help="where files go (results, beside the file)")
    figure = commands.add_parser("figure", help="draw the figure of a study of your own from its results")
    figure.set_defaults(run=_figure)
    figure.add_argument("file", type=pathlib.Path, help="a Python file that defines `STUDY` and, if you like, `draw`")
    figure.add_argument("--results", type=pathlib.Path, metavar="DIR", help="where they lie (results, beside the file)")
    figure.add_argument("--out", type=pathlib.Path, metavar="DIR", help="where it goes (figures, beside the file)")
    new = commands.add_parser("new", help="write a problem, or a study, to start from")
    new.set_defaults(run=_new)
    new.add_argument("file", type=pathlib.Path)
    new.add_argument("--study", action="store_true", help="a study instead of a problem")
    return parser


@contextlib.contextmanager
def _seldom_collecting() -> Iterator[None]:
    """Look for rings of garbage seldom: what a short command imports and traces stays, and the search takes time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _new(asked: argparse.Namespace) -> int:
    text = (
        pathlib.Path(__file__)
        .with_name("template_study.py" if asked.study else "template.py")
        .read_text(encoding="utf-8")
    )
    if asked.study:  # its results are called after it
        text = text.replace('name="my_study"', f"name={json.dumps(asked.file.stem)}")
    try:
        with open(asked.file, "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise Mistake(f"{asked.file} is there already, and is left as it is") from None
    except OSError as error:
        raise Mistake(f"cannot write {asked.file}: {error.strerror}") from None
    what, how = ("study", "study") if asked.study else ("problem", "compare")
    print(f"{asked.file} is a {what} that runs: mcgrad {how} {asked.file}")
    return 0


def _study(asked: argparse.Namespace) -> int:
    with _importable(asked.file):  # what it imports while it runs, too
        _, own = _own_study(asked)
        folder = asked.results or asked.file.resolve().parent / "results"
        try:
            status = study_command.run([own], folder, asked, f"mcgrad study {asked.file.name}")
        except (ValueError, TypeError, KeyError) as error:
            raise Mistake(f"{_place(error, asked.file)}{type(error).__name__}: {error}") from error
    if status == 0 and asked.shard is None:
        where = study_command.plan(asked).folder(folder) / f"{own.name}.csv"
        print(f"mcgrad: wrote {where}; for a figure: mcgrad figure {asked.file}", file=sys.stderr)
    return status


def _figure(asked: argparse.Namespace) -> int:
    from . import study_figure  # only the command that needs it waits for it

    with _importable(asked.file):
        user, own = _own_study(asked)
        draw = getattr(user, "draw", study_figure.draw)
        here = asked.file.resolve().parent
        try:
            rows, about = study_figure.read(own.name, asked.results or here / "results")
            with _Telling(f"drawing {own.name}"):
                paths = study_figure.save(draw(rows, about), own.name, about, asked.out or here / "figures")
        except OSError as error:
            raise Mistake(f"{own.name}: {error}") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Mistake(f"{_place(error, asked.file)}{error}") from error
    for path in paths:
        print(path)
    return 0


def _own_study(asked: argparse.Namespace) -> tuple[ModuleType, Study]:
    """Return a user's module and the study that it defines."""
    from .study import Study  # only the command that needs it waits for it

    user = load(asked.file, "mcgrad new --study")
    own = getattr(user, "STUDY", None)
    if not isinstance(own, Study):
        found = "nothing is called `STUDY`" if own is None else f"`STUDY` is a {type(own).__name__}"
        raise Mistake(
            f"{asked.file}: {found}; it should define STUDY = mcgrad.study.Study(...). `mcgrad new --study FILE` writes one "
            "that runs"
        )
    return user, own


@contextlib.contextmanager
def _importable(path: pathlib.Path) -> Iterator[None]:
    """Let a file find what lies beside it, as Python lets a script."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _compare(asked: argparse.Namespace) -> int:
    from .comparison import compare  # only the command that needs it waits for it
    from .comparison.files import write_files  # only the command that needs it waits for it

    began = time.perf_counter()
    user = load(asked.file)
    problem, theta, own, options = _read(user, asked)

    def say(text: str) -> None:
        print(f"mcgrad: {time.perf_counter() - began:4.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        asked.out.mkdir(parents=True, exist_ok=True)  # rather now than after all has been measured
    except OSError as error:
        raise Mistake(f"cannot write to {asked.out}: {error.strerror}") from None
    try:
        found = compare(problem, theta, own, only=asked.only, say=say, **options)
    except ValueError as error:
        raise Mistake(f"{asked.file}: {error}") from None
    say("compared" if asked.no_figure else "compared; drawing")
    stem, failure = f"{asked.file.stem}_compare", None
    try:
        written, foreign = write_files(found, asked.out, stem, figure=not asked.no_figure)
    except OSError as error:
        failure = Mistake(f"cannot write to {asked.out}: {error.strerror}")
    else:
        if foreign is not None:
            say(f"{foreign} is not as mcgrad compare has left it, and is not touched")
        say(f"wrote {', '.join(map(str, written))}")
    print(found, flush=True)
    if asked.parameters:
        print("\n".join(["", *found.by_parameter()]), flush=True)
    if failure:
        raise failure
    return 0


def _check(asked: argparse.Namespace) -> int:
    from .checks import check  # only the command that needs it waits for it

    problem, theta, *_ = _read(load(asked.file), asked)
    options = {} if asked.count is None else {"count": asked.count}
    try:
        with _Telling("checking") as say:
            report = check(problem, theta, seed=asked.seed, say=say, **options)
    except ValueError as error:
        raise Mistake(f"{asked.file}: {error}") from None
    print(report)
    return 0 if report.ok else 1


def _read(user: ModuleType, asked: argparse.Namespace) -> tuple[Problem, Any, Any, dict[str, Any]]:
    """Return (problem, theta, own estimators, options) from a loaded file and the command line."""
    problem = getattr(user, "problem", None)
    if not isinstance(problem, Problem):
        found = "nothing is called `problem`" if problem is None else f"`problem` is a {type(problem).__name__}"
        raise Mistake(f"{asked.file}: {found}; {WANTED}")
    if not hasattr(user, "theta"):
        names = ", ".join(problem.parameters)
        raise Mistake(f"{asked.file}: nothing is called `theta`: write theta = [...], a number for each of {names}")
    options = {"seed": asked.seed}
    for name in ("count", "batch"):
        value = getattr(asked, name, None)
        value = getattr(user, name, None) if value is None else value
        options |= {} if value is None else {name: value}
    return problem, user.theta, getattr(user, "estimators", None), options


def load(path: pathlib.Path, writes: str = "mcgrad new") -> ModuleType:
    """Return the module that a file defines; whatever goes wrong in it is a Mistake with file and line."""
    if not path.is_file():
        raise Mistake(f"there is no file {path}; `{writes} {path}` writes one to start from")
    # A name of its own: a file may be called like a module of Python's.
    name = f"_problem_{path.stem}"
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None  # there is a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _importable(path), _watched(path):
            loader.exec_module(module)
    except SyntaxError as error:
        raise Mistake(f"{error.filename}:{error.lineno}: {error.msg}: {(error.text or '').strip()}") from None
    except Exception as error:
        raise Mistake(f"{_place(error, path)}{type(error).__name__}: {error}") from None
    return module


class _Telling:
    """Says on stderr what a command is at once it takes longer than SILENT seconds; a context, and `say(text)` within it."""

    def __init__(self, text: str) -> None:
        self.text, self.began, self.awake = text, time.perf_counter(), False
        self.stream = sys.stderr  # which is another one for a while where processes compile
        self.timer = threading.Timer(SILENT, self._wake)
        self.timer.daemon = True

    def __enter__(self) -> Self:
        self.timer.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.timer.cancel()

    def __call__(self, text: str) -> None:
        self.text = text
        if self.awake:
            self._tell()

    def _wake(self) -> None:
        self.awake = True
        self._tell()

    def _tell(self) -> None:
        print(f"mcgrad: {time.perf_counter() - self.began:4.1f} s  {self.text}", file=self.stream, flush=True)


@contextlib.contextmanager
def _watched(path: pathlib.Path) -> Iterator[None]:
    """Say where a file is that takes long to run."""
    runner = threading.get_ident()

    def tell() -> None:
        frames = traceback.extract_stack(sys._current_frames()[runner])
        here = [x for x in frames if x.filename == str(path)]
        where = f"{path}:{here[-1].lineno}: {here[-1].line}" if here else str(path)
        print(f"mcgrad: still running {where} (Ctrl-C stops it)", file=sys.stderr, flush=True)

    timer = threading.Timer(PATIENCE, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _place(error: BaseException, path: pathlib.Path) -> str:
    """Return "file:line: source" of the last line of the user's file that an error passed through, or ""."""
    names = {str(path), str(path.resolve())}  # workers have it by its full name
    frames = [(x.lineno, x.line) for x in traceback.extract_tb(error.__traceback__) if x.filename in names]
    # Another process may send the text of its traceback.
    frames = frames or re.findall(
        rf'File "{re.escape(str(path.resolve()))}", line (\d+).*\n *(.*)', str(error.__cause__)
    )
    return "{}:{}: {}\n".format(path, *frames[-1]) if frames else f"{path}: "
