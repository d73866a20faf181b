"""The command line of studies: the same options for those of the paper (`python -m studies`) and for a file of one's own."""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import engines, executors, records, shards, study, validate


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return what reads an option that is a whole number in a range; the parser says which option it is."""

    def number(text: str) -> int:
        try:
            return validate.integer("it", int(text), low, high)
        except ValueError:
            wanted = f"of at least {low}" if high is None else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"expected a whole number {wanted}, got {text!r}") from None

    return number


SEED = whole(0, 2**64 - 1)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options that every study has; `--results` is not among them."""
    preset = parser.add_mutually_exclusive_group()
    preset.add_argument("--quick", action="store_true", help="a few seconds each, into a folder of their own")
    preset.add_argument(
        "--full", action="store_true", help="more trajectories and settings than by default, where there are"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_change,
        metavar="NAME=VALUE",
        dest="changes",
        help="another value of a setting (count, horizon, ...) wherever it occurs, into a folder of its own",
    )
    parser.add_argument("--more", action="store_true", help="add as many trajectories again to results that are there")
    parser.add_argument("--seed", type=SEED, default=0, help="0 by default")
    parser.add_argument(
        "--threads", type=whole(1, 4096), help="all cores by default, one in each worker; results do not depend on it"
    )
    parser.add_argument(
        "--engine", choices=engines.NAMES, default="threads", help="where settings are worked at; threads"
    )
    parser.add_argument(
        "--workers", type=whole(1), metavar="N", help="of processes and of dask: as many as cores by default"
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of dask; without it, workers are started here")
    parser.add_argument(
        "--shard", type=_shard, metavar="I/N", help="do the I-th of N parts of the settings, to be merged"
    )


def run(
    chosen: Sequence[study.Study], folder: pathlib.Path, asked: argparse.Namespace, command: str = study.Plan.command
) -> int:
    """Run studies as the command line asks for; return the exit status.

    Parameters
    ----------
    chosen : list of Study
    folder : path
    asked
        What a parser with `add_options` has found.
    command : str
        What runs a study, with {name} in it, for the provenance.
    """
    one = None
    try:
        with engines.executor(asked.engine, asked.workers, asked.scheduler) as pool:
            for one in chosen:
                _run(one, folder, plan(asked, command, pool))
    except KeyboardInterrupt:
        print(f"\n{_named(one)}: interrupted; finished settings are kept, the same command goes on", file=sys.stderr)
        return 130
    except executors.Failed as error:
        print(f"{_named(one)}: {error}; finished settings are kept, the same command goes on", file=sys.stderr)
        return 1
    except (records.Busy, study.Misfit, engines.Refused) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{_named(one)}: {error}", file=sys.stderr)
        return 1
    return 0


def _run(one: study.Study, folder: pathlib.Path, plan: study.Plan) -> Any:
    rows = study.carry_out(one, folder, plan)
    if plan.shard is None:
        print(f"{one.name}: {one.question}\n{one.report(rows)}")
    else:
        print(f"{one.name}: shard {plan.shard} is done, {len(rows)} rows; to be merged when all are")


def _named(one: Any) -> str:
    return "studies" if one is None else one.name


def plan(asked: argparse.Namespace, command: str = study.Plan.command, executor: Any = None) -> study.Plan:
    """Return the plan that a command line asks for."""
    preset, merge = "quick" if asked.quick else "full" if asked.full else "default", getattr(asked, "merge", False)
    how = (asked.threads, None, executor, asked.shard, merge)
    return study.Plan(preset, asked.seed, dict(asked.changes), asked.more, *how, command)


def _shard(text: str) -> shards.Shard:
    try:
        return shards.parsed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(error) from None


def _change(text: str) -> tuple[str, Any]:
    """Return (name, value) of NAME=VALUE; a value that is no JSON is a string."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, such as count=100000, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
