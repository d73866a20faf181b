"""The tutorial as a notebook: `python docs/notebooks.py [--execute]`.

Written by jupytext from the page, so that there is one text; executed by nbclient, as a reader would do it.
"""

import argparse
import os
import pathlib
import re
import sys
import tempfile

import jupytext
import nbformat

HERE = pathlib.Path(__file__).parent
OUTPUT = HERE / "_build" / "notebooks"
PAGES = ("tutorial",)


def notebook(name):
    """Return a page as a notebook: its Python blocks are cells, and what they print is left to the cells."""
    text = (HERE / f"{name}.md").read_text(encoding="utf-8")
    text = re.sub(r"\n```text\n.*?^```\n", "\n", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"; here it is as a\s+\{download\}`[^`]*`", "", text)
    found = jupytext.reads(text, fmt="md")
    found.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, cell in enumerate(found.cells):
        cell["id"] = f"{name}-{number}"  # the same bytes each time
    return found


def write(folder=OUTPUT):
    """Write the notebooks; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.ipynb" for name in PAGES]
    for name, path in zip(PAGES, paths, strict=True):
        nbformat.write(notebook(name), path)
    return paths


def execute(path):
    """Run a notebook in an empty folder; an error in a cell is an error here."""
    import nbclient

    found = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(found, timeout=600, resources={"metadata": {"path": folder}}).execute()
    cells = [cell for cell in found.cells if cell.cell_type == "code"]
    print(f"{os.path.relpath(path)}: {len(cells)} cells ran")


def main(arguments=None):
    """Write the notebooks, and run them if asked to; return the exit status."""
    parser = argparse.ArgumentParser(description="Write the notebooks of the site.")
    parser.add_argument("--execute", action="store_true", help="run them as well")
    asked = parser.parse_args(arguments)
    for path in write():
        if asked.execute:
            execute(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
