"""Formulas without a network: the part of MathJax that the pages need is copied into the site.

The distribution `sphinx-mathjax-offline` holds it; as an extension it would copy 24 MB, of which two suffice.
"""

import importlib.util
import pathlib
import shutil

NEEDED = ("tex-chtml.js", "output/chtml/fonts")


def copy(app, exception):
    """Copy the files after a build that went well."""
    if exception is not None or app.builder.format != "html":
        return
    (package,) = importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations
    source, target = pathlib.Path(package) / "static" / "mathjax", pathlib.Path(app.outdir) / "_static" / "mathjax"
    for name in NEEDED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def setup(app):
    """Tell Sphinx where the formulas' script is."""
    app.connect("build-finished", copy)
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    return {"parallel_read_safe": True}
