"""Draw figures: `python -m figures [names] [--results DIR] [--output DIR]`."""

import argparse
import difflib
import pathlib
import sys

from figures import (
    files,
    floor,
    grad_log_pi,
    horizon,
    ladder,
    lessons,
    noise_scale,
    points,
    two_views,
    which_estimator,
)

FIGURES = {"noise_scale": noise_scale, "horizon": horizon, "ladder": ladder, "lessons": lessons, "points": points}
FIGURES |= {"floor": floor, "two_views": two_views, "grad_log_pi": grad_log_pi, "which_estimator": which_estimator}


def main(arguments=None):
    """Draw what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m figures", description="Draw figures from the results of studies.")
    parser.add_argument("names", nargs="*", help="which figures; all if none")
    parser.add_argument("--list", action="store_true", help="say what figures there are")
    parser.add_argument("--results", type=pathlib.Path, default=files.RESULTS, help="folder of the CSV files")
    parser.add_argument("--output", type=pathlib.Path, default=files.FIGURES, help="folder to write to")
    asked = parser.parse_args(arguments)
    if asked.list:
        for name, module in FIGURES.items():
            print(f"{name:<12} {module.__doc__.splitlines()[0]}")
        return 0
    unknown = [name for name in asked.names if name not in FIGURES]
    if unknown:
        close = difflib.get_close_matches(unknown[0], FIGURES, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        print(f"no figure is called {unknown[0]!r}; there are {', '.join(FIGURES)}.{hint}", file=sys.stderr)
        return 2
    asked.output.mkdir(parents=True, exist_ok=True)
    for name in asked.names or FIGURES:
        module = FIGURES[name]
        try:
            results = files.read(module.STUDY, asked.results)
        except FileNotFoundError as missing:
            print(missing, file=sys.stderr)
            return 1
        for path in files.save(module.draw(results), name, module.MESSAGE, results.about, asked.output):
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
