"""The command line of studies: the same options for those of the paper (`python -m studies`) and for a file of one's own."""

import argparse
import json
import sys

from . import records, study


def add_options(parser):
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
    parser.add_argument("--seed", type=int, default=0, help="0 by default")
    parser.add_argument("--threads", type=int, help="all cores by default; results do not depend on it")


def run(chosen, folder, asked, command=study.Plan.command):
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
    for one in chosen:
        try:
            rows = study.carry_out(one, folder, plan(asked, command))
        except KeyboardInterrupt:
            print(f"\n{one.name}: interrupted; finished settings are kept, the same command goes on", file=sys.stderr)
            return 130
        except (records.Busy, study.Misfit) as error:
            print(error, file=sys.stderr)
            return 1
        except OSError as error:
            print(f"{one.name}: {error}", file=sys.stderr)
            return 1
        print(f"{one.name}: {one.question}\n{one.report(rows)}")
    return 0


def plan(asked, command=study.Plan.command):
    """Return the plan that a command line asks for."""
    preset = "quick" if asked.quick else "full" if asked.full else "default"
    return study.Plan(preset, asked.seed, dict(asked.changes), asked.more, asked.threads, None, command)


def _change(text):
    """Return (name, value) of NAME=VALUE; a value that is no JSON is a string."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, such as count=100000, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
