"""Run studies: `python -m studies [names] [--quick] [--seed N] [--threads N]`."""

import argparse
import difflib
import pathlib
import sys

from mcgrad import study
from studies import (
    coverage,
    floor,
    grad_log_pi,
    horizon,
    ladder,
    lessons,
    noise_scale,
    points,
    throughput,
    two_views,
    which_estimator,
)

MODULES = (noise_scale, horizon, ladder, lessons, points, floor, two_views, grad_log_pi, which_estimator)
MODULES += (coverage, throughput)
STUDIES = {m.STUDY.name: m.STUDY for m in MODULES}
RESULTS = pathlib.Path(__file__).parent / "results"


def main(arguments=None):
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m studies", description="Run studies, each into a CSV file.")
    parser.add_argument(
        "names", nargs="*", help="which studies; all but throughput, which wants a quiet machine, if none"
    )
    parser.add_argument("--list", action="store_true", help="say what studies there are")
    parser.add_argument("--quick", action="store_true", help="a few seconds each, into a folder of their own")
    parser.add_argument("--seed", type=int, default=0, help="0 by default")
    parser.add_argument("--threads", type=int, help="all cores by default; results do not depend on it")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS, help="folder to write to")
    asked = parser.parse_args(arguments)
    if asked.list:
        for s in STUDIES.values():
            print(f"{s.name:<12} {s.question}")
        return 0
    unknown = [name for name in asked.names if name not in STUDIES]
    if unknown:
        close = difflib.get_close_matches(unknown[0], STUDIES, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        print(f"no study is called {unknown[0]!r}; there are {', '.join(STUDIES)}.{hint}", file=sys.stderr)
        return 2
    for name in asked.names or [name for name in STUDIES if name != "throughput"]:
        try:
            options = {"quick": asked.quick, "seed": asked.seed, "threads": asked.threads}
            rows = study.run(STUDIES[name], asked.results, **options)
        except KeyboardInterrupt:
            print(f"\n{name}: interrupted; finished settings are kept, the same command goes on", file=sys.stderr)
            return 130
        except (study.Busy, OSError) as error:
            print(f"{name}: {error}" if isinstance(error, OSError) else error, file=sys.stderr)
            return 1
        print(f"{name}: {STUDIES[name].question}\n{STUDIES[name].report(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
