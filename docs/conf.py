"""How the documentation is built: `python -m sphinx -W --keep-going docs docs/_build/html`."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE / "extensions")]

import notebooks  # noqa: E402

import mcgrad  # noqa: E402

notebooks.write()  # a page offers them for download

project = "mcgrad"
author = "The mcgrad developers"
copyright = f"2026, {author}"
release = version = mcgrad.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "formulas",
    "gallery",
    "reference",
]
exclude_patterns = ["_build", "extensions"]
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_block", "deflist"]
myst_heading_anchors = 3
default_role = "code"
highlight_language = "text"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # types are in the docstrings
autodoc_preserve_defaults = True
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = "mcgrad"
html_static_path = ["static"]
html_css_files = ["mcgrad.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#10305c", "color-brand-content": "#1d5a96"},
    "dark_css_variables": {"color-brand-primary": "#9cc3e8", "color-brand-content": "#7db4e6"},
    "navigation_with_keys": True,
}
