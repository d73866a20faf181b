"""Run studies: `python -m studies [names] [--quick | --full] [--set NAME=VALUE] [--more] [--seed N] [--engine NAME]`.

On other machines, too: `--engine dask`, `--engine mpi`; or in parts, `--shard 1/40` to `40/40`, and then `merge [names]`.

A study is a file of this folder that says `STUDY = mcgrad.study.Study(...)`; it is found by that, and listed nowhere.
"""

import argparse
import difflib
import importlib
import pathlib
import sys

from mcgrad import study, study_command

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results"


def found():
    """Return {name: Study} of the studies in this folder, in order of their names.

    Raises
    ------
    ValueError
        If a study is not called what its file is called: its results would be taken for those of another.
    """
    studies = {}
    for path in sorted(HERE.glob("[!_]*.py")):
        own = getattr(importlib.import_module(f"studies.{path.stem}"), "STUDY", None)
        if isinstance(own, study.Study):  # other files are what studies share
            if own.name != path.stem:
                raise ValueError(f"{path.name}: the study is called {own.name!r}; its file should be {own.name}.py")
            studies[own.name] = own
    return studies


def main(arguments=None):
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m studies", description="Run studies, each into a CSV file.")
    parser.add_argument(
        "names", nargs="*", help="which studies; if none, all but those that want a quiet machine (throughput)"
    )
    parser.add_argument("--list", action="store_true", help="say what studies there are")
    study_command.add_options(parser)
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS, help="folder to write to")
    parser.epilog = (
        "`python -m studies merge [names]` puts together what --shard 1/N to N/N have left, with the same options."
    )
    asked = parser.parse_args(arguments)
    asked.merge = asked.names[:1] == ["merge"]
    asked.names = asked.names[asked.merge :]
    if asked.merge and not asked.names:
        parser.error("merge: say which studies")
    studies = found()
    if asked.list:
        width = max(map(len, studies))
        for s in studies.values():
            print(f"{s.name:<{width}} {s.question}")
        return 0
    unknown = [name for name in asked.names if name not in studies]
    if unknown:
        close = difflib.get_close_matches(unknown[0], studies, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        print(f"no study is called {unknown[0]!r}; there are {', '.join(studies)}.{hint}", file=sys.stderr)
        return 2
    names = asked.names or [name for name, s in studies.items() if not s.quiet]
    return study_command.run([studies[name] for name in names], asked.results, asked)


if __name__ == "__main__":
    sys.exit(main())
