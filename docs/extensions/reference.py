"""The API reference: a directive that documents all public names of a room, and docstrings as this project writes them.

    .. public-names:: mcgrad.estimators

puts a table of the names of `__all__`, then their docstrings, grouped by the file that they come from under what that file
says of itself: most of our formulas and references stand there. A new public name appears without an edit.
"""

import importlib
import inspect
import re

from sphinx.util.docutils import SphinxDirective

INTERNAL = ("See the module", "Abstract")  # classes that only the library makes


class PublicNames(SphinxDirective):
    """See the module."""

    required_arguments = 1

    def run(self):
        room = importlib.import_module(self.arguments[0])
        groups = {}
        for name in sorted(public(room), key=lambda n: (inspect.isclass(getattr(room, n)), n)):
            thing = getattr(room, name)
            if not inspect.ismodule(thing) and not _internal(thing):
                home = getattr(thing, "__module__", room.__name__)
                groups.setdefault(home if home.startswith("mcgrad") else room.__name__, []).append(name)
        lines = [".. autosummary::", ""]
        lines += [f"   ~{room.__name__}.{name}" for names in groups.values() for name in names]
        for home, names in groups.items():
            lines += ["", *_about(importlib.import_module(home), room)]
            for name in names:
                kind = "autoclass" if inspect.isclass(getattr(room, name)) else "autofunction"
                kind = kind if callable(getattr(room, name)) else "autodata"
                lines += [f".. {kind}:: {room.__name__}.{name}", *(["   :members:"] if kind == "autoclass" else []), ""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def public(room):
    """Return the public names of a module: `__all__`, or what it defines without an underscore."""
    if hasattr(room, "__all__"):
        return room.__all__
    return [k for k, x in vars(room).items() if k[0] != "_" and getattr(x, "__module__", None) == room.__name__]


def _internal(thing):
    return inspect.isclass(thing) and (inspect.getdoc(thing) or "").startswith(INTERNAL)


def _about(home, room):
    """Return the title of a file and what it says of itself, as reStructuredText."""
    title, _, rest = inspect.getdoc(home).partition("\n")
    if home is room:
        return []
    title = title.rstrip(".")
    lines = rest.strip("\n").rstrip().splitlines()
    as_written(None, "module", home.__name__, home, None, lines)
    return [title, "-" * len(title), "", *_rubrics(lines), ""]


def _rubrics(lines):
    """Return lines with underlined headings made rubrics, so that they do not become sections of the page."""
    found = []
    for line in lines:
        if re.fullmatch(r"-{3,}", line) and found and found[-1].strip():
            found[-1] = f".. rubric:: {found[-1]}"
            found.append("")
        else:
            found.append(line)
    return found


def as_written(app, what, name, thing, options, lines):
    """Make reStructuredText of a docstring: indented formulas stay as they are, and so do the signs of mathematics."""
    found, parameters, k = [], False, 0
    while k < len(lines):
        line = lines[k]
        indent = len(line) - len(line.lstrip())
        heading = k + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[k + 1]) and line.strip()
        if heading:
            parameters = line.strip() not in ("Notes", "References", "See Also")
            found += [line, lines[k + 1]]
            k += 2
            continue
        blank = not found or not found[-1].strip()
        if not parameters and line.strip() and indent >= 4 and blank and not line.lstrip().startswith((">>>", "..")):
            found += ["::", ""]
            while k < len(lines) and (not lines[k].strip() or lines[k].startswith(" " * indent)):
                found.append(lines[k])
                k += 1
            if found[-1].strip():
                found.append("")
            continue
        found.append(line if line.lstrip().startswith((">>>", "...")) else escaped(line))
        k += 1
    lines[:] = found


def escaped(line):
    """Return a line of prose whose asterisks, bars and trailing underscores are signs of mathematics."""
    parts = re.split(r"(``.*?``|`[^`]*`_?)", line)
    return "".join(p if k % 2 else re.sub(r"([*|]|(?<=\w)_(?=\W|$))", r"\\\1", p) for k, p in enumerate(parts))


def setup(app):
    """Tell Sphinx about the directive."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", as_written, priority=400)  # before numpydoc takes sections apart
    return {"parallel_read_safe": True}
