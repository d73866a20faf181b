"""The gallery: a directive that shows every figure of `figures/` with its study, its command and its minutes.

Nothing is listed: a figure is a PNG file in `figures/` with a script of the same name beside it, which says what the figure
tells (MESSAGE) and from which study it is drawn (STUDY); the study's JSON file says by which command, and how long it took.
"""

import ast
import json
import pathlib
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

ROOT = pathlib.Path(__file__).parents[2]


def constants(path):
    """Return {name: text} of the constants of a script, and its docstring as ""; nothing is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {"": (ast.get_docstring(tree) or path.stem).splitlines()[0]}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            if isinstance(value, str):
                found[node.targets[0].id] = value
    return found


def seconds(number):
    """Return a time in words."""
    return f"{max(number, 2):.0f} seconds" if number < 90 else f"{number / 60:.0f} minutes"


def entries(root=ROOT):
    """Return (name, title, about) of each figure, by name; `about` is the study's record or {}."""
    found = []
    for picture in sorted((root / "figures").glob("*.png")):
        script = picture.with_suffix(".py")
        said = constants(script) if script.exists() else {"": picture.stem}
        study = said.get("STUDY", picture.stem)
        record = root / "studies" / "results" / f"{study}.json"
        about = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        title = re.sub(r"\s*\(study: .*?\)", "", said[""])
        found.append((picture.stem, title, {"study": study, "message": said.get("MESSAGE", title)} | about))
    return found


class Gallery(SphinxDirective):
    """See the module."""

    def run(self):
        lines = []
        for name, title, about in entries():
            picture = ROOT / "figures" / f"{name}.png"
            self.env.note_dependency(str(picture))
            title = title.rstrip(".")
            lines += [f".. _figure-{name}:", "", title, "-" * len(title), ""]
            lines += [
                f".. image:: ../figures/{name}.png",
                f"   :alt: {about['message']}",
                f"   :target: _images/{name}.png",
                "",
            ]
            study = about["study"]
            if about.get("question"):
                lines += [f"*{about['question']}*", ""]
            files = [f":download:`PDF <../figures/{name}.pdf>`"] if picture.with_suffix(".pdf").exists() else []
            if (ROOT / "studies" / "results" / f"{study}.csv").exists():
                files.append(f":download:`the numbers (CSV) <../studies/results/{study}.csv>`")
            if "seconds" in about:
                machine = f"{seconds(about['seconds'])} on {about['machine']['cores']} cores"
                lines += [f"Numbers: ``{about['command']}`` ({machine}).  "]
            lines += [f"Figure: ``python -m figures {name}`` (``figures/{name}.py``).  "]
            lines += [" · ".join(files), ""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def opened(app, doctree, docname):
    """Let a figure that links to its own file open it, rather than download it."""
    for link in list(doctree.findall(addnodes.download_reference)):
        pictures = list(link.findall(nodes.image))
        if pictures:
            up = "../" * docname.count("/")
            target = nodes.reference("", "", refuri=f"{up}_images/{pathlib.Path(pictures[0]['uri']).name}")
            target += pictures
            link.replace_self(target)


def setup(app):
    """Tell Sphinx about the directive."""
    app.connect("doctree-resolved", opened)
    app.add_directive("gallery", Gallery)
    return {"parallel_read_safe": True}
