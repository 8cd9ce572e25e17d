"""Sphinx settings of these pages (`make docs`).

The pages are plain Markdown and read well on any host. Links from them to files outside of `docs` are relative; in the
built pages they lead to the repository, and a link to a file that does not exist is a warning (and so an error).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.util import logging

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent
LIBRARY = REPOSITORY / "LightRegistration" / "LightRegistrationLib"
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>\.\./[^)#\s]+)\)")


def read_text_value(file: Path, pattern: str) -> str:
    """The first group of a pattern in a file; ValueError if the file does not have it."""
    found = re.search(pattern, file.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{file}: no line like {pattern}")
    return found[1]


project = "LightRegistration"
author = "The LightRegistration developers"
project_copyright = author
release = version = read_text_value(LIBRARY / "__init__.py", r'__version__ = "(.+)"')
repository_url = read_text_value(REPOSITORY / "CMakeLists.txt", r'EXTENSION_HOMEPAGE "(.+)"')

extensions = ["myst_parser"]
myst_heading_anchors = 4
nitpicky = True
smartquotes = False  # `--option` in text keeps its two dashes
html_theme = "furo"
html_title = f"LightRegistration {release}"
html_show_sphinx = False
html_copy_source = False


def link_to_repository(app: Any, page: str, content: list[str]) -> None:
    """Turn relative links to files outside of `docs` into links to the repository; warn of missing files."""
    folder = (DOCS / page).parent

    def replace(link: re.Match[str]) -> str:
        target = (folder / link["target"]).resolve()
        if target.is_relative_to(DOCS) or not target.is_relative_to(REPOSITORY):
            return link[0]
        if not target.exists():
            logging.getLogger(__name__).warning("%s does not exist", link["target"], location=page)
        kind = "tree" if target.is_dir() else "blob"
        return f"[{link['text']}]({repository_url}/{kind}/main/{target.relative_to(REPOSITORY).as_posix()})"

    content[0] = LINK.sub(replace, content[0])


def setup(app: Any) -> None:
    """Register the link conversion."""
    app.connect("source-read", link_to_repository)
