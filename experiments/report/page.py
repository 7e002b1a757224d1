"""L6. The frame of every page: one self-contained HTML file whose own policy forbids the network."""

from pathlib import Path

from experiments.report.table import escape


def page(title: str, header: str, main: str) -> str:
    """A whole page. header, main: HTML, escaped already; style and script are those of report.css and report.js."""
    here = Path(__file__)
    style, script = (here.with_name(f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#content">To the content</a>\n'
        f"<header>\n<h1>{escape(title)}</h1>\n{header}</header>\n"
        f'<main id="content">\n{main}</main>\n'
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )
