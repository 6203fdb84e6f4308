"""How ``make docs`` builds these pages: Sphinx, Markdown by MyST, the theme Furo. No network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for reference.py

from chainrule import __version__

project = "Chainrule"
author = "The Chainrule authors"
copyright = "The Chainrule authors, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "reference"]
myst_heading_anchors = 3  # [text](page.md#heading) is checked
myst_enable_extensions = ["deflist"]

html_theme = "furo"
html_title = "Chainrule"
html_static_path = ["_static"]
html_css_files = ["chainrule.css"]
html_copy_source = False
pygments_style = "friendly"
add_module_names = False
toc_object_entries = False
