"""Draw figures: `python -m figures [names] [--results DIR] [--output DIR]`.

A figure is a file of this folder that names a study (`STUDY`), says what it shows (`MESSAGE`) and draws it (`draw`); it is
found by that, and listed nowhere.
"""

import argparse
import difflib
import importlib
import pathlib
import sys

from figures import files

HERE = pathlib.Path(__file__).parent


def found():
    """Return {name: module} of the figures in this folder, in order of their names."""
    modules = {path.stem: importlib.import_module(f"figures.{path.stem}") for path in sorted(HERE.glob("[!_]*.py"))}
    return {name: module for name, module in modules.items() if hasattr(module, "draw") and hasattr(module, "STUDY")}


def main(arguments=None):
    """Draw what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m figures", description="Draw figures from the results of studies.")
    parser.add_argument("names", nargs="*", help="which figures; all if none")
    parser.add_argument("--list", action="store_true", help="say what figures there are")
    parser.add_argument("--results", type=pathlib.Path, default=files.RESULTS, help="folder of the CSV files")
    parser.add_argument("--output", type=pathlib.Path, default=files.FIGURES, help="folder to write to")
    asked = parser.parse_args(arguments)
    figures = found()
    if asked.list:
        width = max(map(len, figures))
        for name, module in figures.items():
            print(f"{name:<{width}} {module.__doc__.splitlines()[0]}")
        return 0
    unknown = [name for name in asked.names if name not in figures]
    if unknown:
        close = difflib.get_close_matches(unknown[0], figures, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        print(f"no figure is called {unknown[0]!r}; there are {', '.join(figures)}.{hint}", file=sys.stderr)
        return 2
    asked.output.mkdir(parents=True, exist_ok=True)
    status = 0
    for name in asked.names or figures:
        module = figures[name]
        try:
            results = files.read(module.STUDY, asked.results)
        except FileNotFoundError as missing:  # the others are drawn all the same
            print(missing, file=sys.stderr)
            status = 1
            continue
        for path in files.save(module.draw(results), name, module.MESSAGE, results.about, asked.output):
            print(path)
    return status


if __name__ == "__main__":
    sys.exit(main())
