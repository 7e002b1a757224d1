"""A written report as a test reads it: its tags, texts and data, once it is one well-formed page without network."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from ddad_jax.engine.report.run import Report, write_report

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Collects tags, texts and attributes, and insists on balanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.data: dict[str, Any] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)
        elif self.tags[-1][1].get("type") == "application/json":
            self.data[self.tags[-1][1]["id"] or ""] = json.loads(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(report: Report, folder: Path) -> Page:
    write_report(folder / "report.html", report)
    text = (folder / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|//\w+\.\w|@import|url\(", text)
    found = Page(text)
    assert not found.all("link") and not found.all("iframe")
    kinds = [script.get("type") for script in found.all("script")]
    assert all("src" not in script for script in found.all("script")) and kinds.count(None) == 1
    assert set(kinds) <= {None, "application/json"} and len(found.data) == len(kinds) - 1
    for image in found.all("img"):
        assert (image["src"] or "").startswith("data:image/png;base64,") and image["alt"]
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in found.all("a")} <= {f"#{i}" for i in ids}
    return found
