"""Run the code of the pages and compare what it prints with what the pages say.

A page is Markdown. Its ```python blocks are run in order, in one namespace; what a block prints stands in the ```text block
after it. Three rules hold every number that a page states:

- A number that is printed is the same in the page and in the run, up to one unit of its last digit: exact values.
- Of a measured number and its standard error, `x +- e`, the two values of x differ by less than five standard errors, and
  the two of e by less than a factor of two.
- A number with a decimal point in the text of a page is in the code or the outputs of that page, rounded at will
  (but for its sources).

`python docs/pages.py FILE ...` checks pages, `--write` puts what was printed into them.
"""

import argparse
import contextlib
import io
import itertools
import math
import pathlib
import re
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
PIECES = re.compile(rf"({NUMBER}) \+- ({NUMBER})|({NUMBER})")
PROSE = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e[-+]?\d+)?(?![\w.]*\d)")
ERRORS = 5.0  # standard errors


class Block(NamedTuple):
    """A block of code, and what a page says that it prints.

    Attributes
    ----------
    code : str
    needs : tuple of str
        Modules without which it cannot run: ```python jax.
    line : int
        Where it begins in the page.
    output : str
        "" if nothing is said to be printed.
    span : tuple of int or None
        Where the output stands in the page.
    """

    code: str
    needs: tuple
    line: int
    output: str
    span: tuple | None


def blocks(text):
    """Return the blocks of a page."""
    found, fences = [], list(FENCE.finditer(text))
    for fence, following in itertools.zip_longest(fences, fences[1:]):
        if fence[1] != "python":
            continue
        output, span = "", None
        if following and following[1] == "text" and not text[fence.end() : following.start()].strip():
            output, span = following[3], following.span(3)
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(fence[3], tuple(fence[2].split()), line, output, span))
    return found


def run(text, name, missing=frozenset()):
    """Return what each block of a page prints; None for those that need a module of `missing`."""
    namespace, printed = {"__name__": "__page__"}, []
    for block in blocks(text):
        if missing.intersection(block.needs):
            printed.append(None)
            continue
        stream = io.StringIO()
        code = compile("\n" * block.line + block.code, name, "exec")  # tracebacks name the line of the page
        with contextlib.redirect_stdout(stream):
            exec(code, namespace)
        printed.append(stream.getvalue())
    return printed


def difference(said, printed):
    """Return how a printed text differs from the one that a page says, or None."""
    texts, numbers = zip(*(_taken_apart(x) for x in (said, printed)), strict=True)
    if texts[0] != texts[1]:
        return f"the page says\n{said}and it prints\n{printed}"
    for (x, e), (y, f) in zip(*numbers, strict=True):
        if e is None:
            if not abs(float(x) - float(y)) <= 1.000001 * max(_unit(x), _unit(y)):
                return f"the page says {x}, and it prints {y}"
        elif not (abs(float(x) - float(y)) < ERRORS * math.hypot(float(e), float(f)) and _alike(e, f)):
            return f"the page says {x} +- {e}, and it prints {y} +- {f}"
    return None


def _taken_apart(text):
    """Return a text without its numbers and the width of its blanks, and [(number, standard error or None)]."""
    numbers = [(m[1], m[2]) if m[1] else (m[3], None) for m in PIECES.finditer(text)]
    return " ".join(PIECES.sub("#", text).split()), numbers


def _unit(number):
    """Return one unit of the last digit of a number."""
    mantissa, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def _alike(e, f):
    """Tell whether two standard errors differ by less than a factor of two, but for their rounding."""
    low, high = sorted((float(e), float(f)))
    return high <= 2.0 * low + _unit(e) + _unit(f)


def unfounded(text):
    """Return the numbers with a decimal point in the text of a page that neither its code nor its outputs have."""
    known = [float(x) for m in FENCE.finditer(text) for x in re.findall(NUMBER, m[3])]
    prose = FENCE.sub("", text).partition("\n## Sources\n")[0]
    prose = re.sub(r"^\+\+\+.*?$|^---$.*?^---$", "", prose, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"\]\([^)]*\)|https?://\S+|arXiv:\S+", "", prose).replace("\N{MINUS SIGN}", "-")
    numbers = PROSE.findall(prose)
    return [x for x in numbers if not any(_rounds_to(y, x) for y in known)]


def _rounds_to(number, rounded):
    """Tell whether a number or its opposite is the rounded one at the digits of that."""
    return abs(abs(number) - abs(float(rounded))) <= 0.500001 * _unit(rounded)


def written(text, printed):
    """Return the page with what its blocks have printed."""
    for block, new in reversed(list(zip(blocks(text), printed, strict=True))):
        if new is not None and block.span:
            text = text[: block.span[0]] + new + text[block.span[1] :]
    return text


def main(arguments=None):
    """Check or write pages; return the exit status."""
    parser = argparse.ArgumentParser(description="Run the code of pages and compare what it prints with what they say.")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--write", action="store_true", help="put what was printed into the pages")
    asked, wrong = parser.parse_args(arguments), 0
    for path in asked.files:
        text = path.read_text(encoding="utf-8")
        printed = run(text, str(path))
        if asked.write:
            text = written(text, printed)
            path.write_text(text, encoding="utf-8")
        found = [difference(b.output, x) for b, x in zip(blocks(text), printed, strict=True)]
        lines = [f"{path}:{b.line}: {d}" for b, d in zip(blocks(text), found, strict=True) if d]
        lines += [f"{path}: {x} is nowhere printed" for x in unfounded(text)]
        print("\n".join(lines or [f"{path}: {len(printed)} blocks"]))
        wrong += len(lines)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
