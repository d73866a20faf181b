"""The command line: `mcgrad new my_problem.py`, `mcgrad check my_problem.py`, `mcgrad compare my_problem.py`."""

import argparse
import importlib.machinery
import importlib.util
import pathlib
import sys
import time
import traceback

WANTED = """it should define
    problem = mg.Problem(environment, policy, horizon)
    theta = [...]  # where to take the gradient
`mcgrad new FILE` writes one that runs"""


class Mistake(Exception):
    """Something that the user can put right; its message says what, where and how."""


def main(arguments=None):
    """Do what the command line asks for; return the exit status: 2 for a mistake in it or in the user's file."""
    asked = _parser().parse_args(arguments)
    try:
        return asked.run(asked)
    except Mistake as mistake:
        print(f"mcgrad: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nmcgrad: interrupted", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(
        prog="mcgrad", description="Which gradient estimator has the least variance on my problem, and at what cost?"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    compare = commands.add_parser("compare", help="measure and time every estimator that exists for a problem")
    compare.set_defaults(run=_compare)
    compare.add_argument("file", type=pathlib.Path, help="a Python file that defines `problem` and `theta`")
    compare.add_argument("--count", type=int, help="samples of each estimator (100000)")
    compare.add_argument("--batch", type=int, help="samples in a batch, for the cosine (64)")
    compare.add_argument("--seed", type=int, default=0)
    compare.add_argument("--only", nargs="+", metavar="NAME", help="compare these estimators alone")
    compare.add_argument("--parameters", action="store_true", help="print a line for each parameter, too")
    compare.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path(), metavar="DIR", help="where files go (here)"
    )
    compare.add_argument("--no-figure", action="store_true", help="write the CSV files alone")
    check = commands.add_parser("check", help="find mistakes in a problem")
    check.set_defaults(run=_check)
    check.add_argument("file", type=pathlib.Path, help="a Python file that defines `problem` and `theta`")
    check.add_argument("--count", type=int, help="trajectories whose means are compared (50000)")
    check.add_argument("--seed", type=int, default=0)
    new = commands.add_parser("new", help="write a problem to start from")
    new.set_defaults(run=_new)
    new.add_argument("file", type=pathlib.Path)
    return parser


def _new(asked):
    template = pathlib.Path(__file__).with_name("template.py")
    try:
        with open(asked.file, "x", encoding="utf-8") as stream:
            stream.write(template.read_text(encoding="utf-8"))
    except FileExistsError:
        raise Mistake(f"{asked.file} is there already, and is left as it is") from None
    except OSError as error:
        raise Mistake(f"cannot write {asked.file}: {error.strerror}") from None
    print(f"{asked.file} is a problem that runs: mcgrad compare {asked.file}")
    return 0


def _compare(asked):
    from .compare import compare
    from .study import as_csv, write

    began = time.perf_counter()
    user = load(asked.file)
    problem, theta, own, options = _read(user, asked)

    def say(text):
        print(f"mcgrad: {time.perf_counter() - began:4.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        found = compare(problem, theta, own, only=asked.only, say=say, **options)
    except ValueError as error:
        raise Mistake(f"{asked.file}: {error}") from None
    print(found, flush=True)
    if asked.parameters:
        print("\n".join(["", *found.by_parameter()]), flush=True)
    say("compared")
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
        stem = asked.out / f"{asked.file.stem}_compare"
        written = []
        for name, rows in (
            (stem, found.records()),
            (stem.with_name(f"{stem.name}_parameters"), found.parameter_records()),
        ):
            written.append(name.with_name(f"{name.name}.csv"))
            columns = tuple(dict.fromkeys(key for row in rows for key in row))
            write(written[-1], as_csv(columns, rows))
        if not asked.no_figure:
            from .compare.figure import draw, save

            written += save(draw(found), stem, found.title)
    except OSError as error:
        raise Mistake(f"cannot write to {asked.out}: {error.strerror}") from None
    say(f"wrote {', '.join(map(str, written))}")
    return 0


def _check(asked):
    from .check import check

    problem, theta, *_ = _read(load(asked.file), asked)
    options = {} if asked.count is None else {"count": asked.count}
    try:
        report = check(problem, theta, seed=asked.seed, **options)
    except ValueError as error:
        raise Mistake(f"{asked.file}: {error}") from None
    print(report)
    return 0 if report.ok else 1


def _read(user, asked):
    """Return (problem, theta, own estimators, options) from a loaded file and the command line."""
    from . import Problem

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


def load(path):
    """Return the module that a file defines; whatever goes wrong in it is a Mistake with file and line."""
    if not path.is_file():
        raise Mistake(f"there is no file {path}; `mcgrad new {path}` writes one to start from")
    # A name of its own: a file may be called like a module of Python's.
    name = f"_problem_{path.stem}"
    spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, str(path)))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise Mistake(f"{error.filename}:{error.lineno}: {error.msg}: {(error.text or '').strip()}") from None
    except Exception as error:
        raise Mistake(f"{_place(error, path)}{type(error).__name__}: {error}") from None
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _place(error, path):
    """Return "file:line: source" of the last line of the user's file that an error passed through, or ""."""
    frames = [x for x in traceback.extract_tb(error.__traceback__) if x.filename == str(path)]
    return f"{path}:{frames[-1].lineno}: {frames[-1].line}\n" if frames else f"{path}: "
