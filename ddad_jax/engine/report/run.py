"""One self-contained HTML page about a run: what was done, on what, how well it went, and how to repeat it.

No network: pictures are embedded, style and script are inline, and the page's own policy forbids the rest.
A section whose material is missing is left out.
"""

import json
from pathlib import Path
from typing import Any

from ddad_jax.engine.figures.parts import NAMES
from ddad_jax.engine.report.browser import pictures_data
from ddad_jax.engine.report.content import Alarms, Report, found_warnings, picked_by_label
from ddad_jax.engine.report.hindsight import hindsight
from ddad_jax.engine.report.page import page
from ddad_jax.engine.report.parts import picture
from ddad_jax.engine.report.points import points_data
from ddad_jax.engine.report.protocol_section import protocol_section
from ddad_jax.engine.report.result import result
from ddad_jax.engine.report.table import escape, points_table
from ddad_jax.engine.report.verdicts import by_defect, errors, thresholds
from ddad_jax.engine.store.tables import plain, write_text

__all__ = ["Alarms", "Report", "found_warnings", "write_report"]


def write_report(path: str | Path, report: Report) -> None:
    """Write the page, replaced as a whole.

    Raises InputError where the file cannot be written.
    """
    best = picked_by_label(report)
    data: dict[str, Any] = {"points": points_data(report.rows, best)} if report.rows else {}
    if report.browser and report.browser.pictures:
        data["pictures"] = pictures_data(report.browser)
    sections = {
        "result": ("Result", result(report)),
        "protocol": ("What this test set can tell", protocol_section(report)),
        "errors": ("What got through, and what was stopped in error", errors(report)),
        "defects": ("By kind of defect", by_defect(report)),
        "thresholds": ("Thresholds", thresholds(report)),
        "pictures": ("Test pictures, one by one", _pictures(data.get("pictures"))),
        "examples": ("Examples", _examples(report)),
        "scores": ("Scores of the test pictures", _scores(report)),
        "frontier": ("Speed against accuracy", _frontier(report)),
        "settings": ("What each setting does", _curves(report)),
        "points": ("All points of the sweep" if len(report.rows) > 1 else "The point", _points(report)),
        "training": ("How it learnt", _training(report)),
        "reproduce": ("How to repeat it", _reproduce(report)),
    }
    present = {key: value for key, value in sections.items() if value[1]}
    links = "".join(
        f'<li{_needs_script(key)}><a href="#{key}">{escape(title)}</a></li>' for key, (title, _) in present.items()
    )
    body = "".join(_section(key, title, content) for key, (title, content) in present.items())
    header = f'{_explanation(report)}\n<nav aria-label="Sections"><ul>{links}</ul></nav>\n'
    write_text(path, page(report.title, header, f"{_warned(report)}{body}", data))


def _explanation(report: Report) -> str:
    kept_out = f"{report.n_held_out} more good pictures, kept out of training, set its scale and its threshold. "
    if report.n_tuning:
        kept_out = (
            f"{report.n_tuning} more good pictures, kept out of training, set its scale and chose what was to be "
            f"chosen; {report.n_held_out} others, which chose nothing, gave the threshold. "
        )
    text = (
        f"{report.explanation} {kept_out}"
        f"The test set has {report.n_good} good and {report.n_defective} defective pictures, "
        f"all brought to {report.image_size} × {report.image_size} pixels."
    )
    return "".join(f"<p>{escape(part)}</p>" for part in (text, " ".join(report.notes)) if part)


def _warned(report: Report) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in found_warnings(report))
    if not items:
        return ""
    return (
        '<section class="warnings" id="warnings" aria-labelledby="warnings-title">'
        f'<h2 id="warnings-title">Read this first</h2><ul>{items}</ul></section>\n'
    )


def _pictures(data: dict[str, Any] | None) -> str:
    """The place of the browser, which a script fills; without script the examples below show some of it."""
    return f'<p class="soft">{escape(data["told"])}</p><div data-live="pictures"></div>' if data else ""


def _examples(report: Report) -> str:
    return picture(
        report.examples,
        "A row for each example picture: input, what the method makes of it, anomaly map, mask.",
        "The outline on the input is the true mask. Each kind of map has one colour scale for all rows, drawn "
        "below its column: a good picture should look dark.",
        least=820,
    )


def _scores(report: Report) -> str:
    scores = picture(
        report.scores,
        "Histogram of the image scores of good and defective pictures, with a strip of dots for each kind.",
        "The further apart the colours, the better a threshold can tell good from defective.",
        least=560,
    )
    roc = picture(report.roc, "ROC curve of the image score.", "Defects found against false alarms.")
    return f'<div class="pair">{scores}{roc}</div>' if scores and roc else scores or roc


def _frontier(report: Report) -> str:
    figure = picture(
        report.frontier,
        "Metrics over U-Net calls and over milliseconds per image, a line for each way to sample.",
        "Means over noise seeds with Student's 95 % intervals; w, T' and the score are those of the selected point. "
        "Left of two points with the same metric is the faster one.",
        least=820,
    )
    pictures = picture(
        report.side_by_side,
        "A row for each test picture: input, reconstruction by the fine teacher, the selected way and the best others.",
        "The same pictures redrawn by the selected point's fine teacher, by that point, and by the best ways above, "
        "each with the fewest calls at which nothing of as few calls beats it in one of the metrics. Below each is its "
        "distance to the fine teacher that starts and is steered as it is; the number is the mean of the map.",
        least=820,
    )
    return figure and figure + pictures + points_table(report.frontier_rows, None)


def _curves(report: Report) -> str:
    figures = [
        picture(
            path,
            f"{NAMES.get(metric, metric)} against each setting of the sweep.",
            f"{NAMES.get(metric, metric)}. A thin line changes one setting and keeps all others.",
            least=820,
        )
        for metric, path in report.curves.items()
    ]
    return "".join(figures)


def _points(report: Report) -> str:
    best = picked_by_label(report)
    table = points_table(report.rows, best)
    if not table:
        return ""
    table = f'<div class="needs-script" data-live="plots"></div><div data-live="points">{table}</div>'
    looking_back = hindsight(report.rows)
    ranked = f": {escape(looking_back.sentence())}" if looking_back else ""
    by_label = ""
    if best is not None:
        by_label = "<strong>◆ best by label</strong>: chosen by looking at test labels, do not report. "
    if not (by_label or ranked):
        return table
    return f"<p>{by_label}<strong>★ selected</strong>: fixed without test labels{ranked}.</p>{table}"


def _training(report: Report) -> str:
    return picture(
        report.training,
        "Training loss, validation loss and images per second against the step.",
        "The loss on held-out normal pictures should follow the training loss; when it climbs, the model "
        "learns its training pictures by heart.",
        least=560,
    ) + picture(
        report.adaptation,
        "Criterion and loss after each epoch of domain adaptation, the kept epoch marked.",
        "Adaptation of the feature network. The epoch to keep is chosen on held-out normal pictures, without labels.",
    )


def _reproduce(report: Report) -> str:
    parts = []
    if report.command:
        parts.append(f'<pre class="command" tabindex="0"><code>{escape(report.command)}</code></pre>')
    if report.environment:
        facts = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
            for name, value in _flat(plain(report.environment))
        )
        parts.append(f"<details><summary>Environment</summary><table class='facts'>{facts}</table></details>")
    if report.config:
        text = json.dumps(plain(report.config), indent=2, ensure_ascii=False)
        parts.append(
            f'<details><summary>Settings</summary><pre tabindex="0"><code>{escape(text)}</code></pre></details>'
        )
    return "".join(parts)


def _section(key: str, title: str, content: str) -> str:
    return (
        f'<section id="{key}"{_needs_script(key)} aria-labelledby="{key}-title">'
        f'<h2 id="{key}-title">{escape(title)}</h2>{content}</section>\n'
    )


def _needs_script(key: str) -> str:
    return ' class="needs-script"' if key == "pictures" else ""


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        pairs = ((f"{prefix}.{key}" if prefix else key, item) for key, item in value.items())
        return [found for key, item in pairs for found in _flat(item, key)]
    return [(prefix, ", ".join(map(str, value)) if isinstance(value, list) else value)]
