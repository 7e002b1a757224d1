"""Sphinx, of the pages in this folder: ``make docs``. Nothing is fetched, neither to build them nor to read them."""

import os
import sys
import tomllib
from pathlib import Path

# The pages need no accelerator, and a busy one must not stop them.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]

project = "ddad_jax"
author = "The ddad_jax authors"
copyright = "The ddad_jax authors, Apache-2.0"
version = release = PROJECT["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mathml",
    "docstrings",
    "house",
    "deviations",
    "programs",
    "settings",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
# Parts of the README keep the depth of their headings.
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True, "ignore-module-all": True, "no-value": True}
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# Fields are there already, with their types.
napoleon_use_ivar = True
add_module_names = False
# The contents of a page are its modules: with every function the tree of all pages costs a fifth of the build.
toc_object_entries = False
python_maximum_signature_line_length = 100
# Of others nothing can be looked up without a network.
nitpick_ignore_regex = [(r"py:.*", r"(?!ddad_jax).*")]

# Dashes alone: an apostrophe is also that of T'. Equations are no Python.
smartquotes_action = "D"
highlight_language = "text"

html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"ddad_jax {release}"
html_static_path = ["_static"]
html_css_files = ["own.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
