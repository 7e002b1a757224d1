"""The frame of every page: one self-contained HTML file whose own policy forbids the network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddad_jax.engine.report.table import escape
from ddad_jax.engine.store.tables import plain

ALWAYS, LIVE = ("shared.js", "sort.js"), ("rows.js", "plots.js", "pictures.js", "start.js")
"""Scripts of every page, and those of pages that carry data; each in the order it runs."""


def page(title: str, header: str, main: str, data: Mapping[str, Any] | None = None) -> str:
    """A whole page, style and scripts those of the files beside this one.

    Args:
      header, main: HTML, escaped already.
      data: name -> what the scripts find under it, "points" and "pictures"; without any the page needs no script.
    """
    carried = "".join(
        f'<script type="application/json" id="data-{name}">{embedded(value)}</script>\n'
        for name, value in (data or {}).items()
    )
    script = "".join(_beside(name) for name in (*ALWAYS, *(LIVE if data else ())))
    style = _beside("report.css") + (_beside("live.css") if data else "")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#content">To the content</a>\n'
        f"<header>\n<h1>{escape(title)}</h1>\n{header}</header>\n"
        f'<main id="content">\n{main}</main>\n'
        f"{carried}<script>\n{script}</script>\n</body>\n</html>\n"
    )


def embedded(value: Any) -> str:
    """``value`` as JSON that may stand in a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # U+2028 and U+2029 are line ends to old readers of scripts; the others are what HTML looks for.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")
