"""Which defects which methods find: by kind, and those that one method alone finds or none does.

A method finds a picture where it does with more than half of the seeds that it saw it with.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ddad_jax.engine.comparison.rows import RunOutcome

CAUGHT = "found"


class DefectivePicture(NamedTuple):
    """found: method -> whether it finds it, of those that saw it."""

    data: str
    kind: str
    name: str
    found: dict[str, bool]


def defective_pictures(outcomes: Sequence[RunOutcome]) -> list[DefectivePicture]:
    """Each defective test picture once, whatever the number of seeds; where the seed draws the pictures
    (``RunOutcome.drawn``), those of each seed are others, and their names end in it."""
    kinds: dict[tuple[str, str], str] = {}
    seen: dict[tuple[str, str], dict[str, list[bool]]] = {}
    for one in outcomes:
        if one.scores is None:
            continue
        s, end = one.scores, f", seed {one.run.seed}" if one.drawn else ""
        for name, kind, label, outcome in zip(s.names, s.defects, s.labels, s.outcomes, strict=True):
            if label:
                kinds[at := (one.run.data.name, f"{name}{end}")] = kind
                seen.setdefault(at, {}).setdefault(one.run.method.name, []).append(outcome == CAUGHT)
    return [
        DefectivePicture(data, kinds[data, name], name, {method: 2 * sum(c) > len(c) for method, c in of.items()})
        for (data, name), of in seen.items()
    ]


def kind_rows(outcomes: Sequence[RunOutcome]) -> list[dict[str, Any]]:
    """A row for each data set and kind of defect: "data", "kind", "pictures", and for each method that saw them the
    share that it finds at its label-free threshold. The kind comes first of which these methods find least on average.
    """
    every = defective_pictures(outcomes)
    rows = []
    for data, kind in dict.fromkeys((one.data, one.kind) for one in every):
        of_kind = [one.found for one in every if (one.data, one.kind) == (data, kind)]
        methods = dict.fromkeys(one.run.method.name for one in outcomes)
        by_method = {name: [found[name] for found in of_kind if name in found] for name in methods}
        shares = {name: sum(caught) / len(caught) for name, caught in by_method.items() if caught}
        mean = sum(shares.values()) / len(shares)
        rows.append((mean, {"data": data, "kind": kind, "pictures": len(of_kind), **shares}))
    return [row for _, row in sorted(rows, key=lambda one: one[0])]


def lone_finds(outcomes: Sequence[RunOutcome]) -> list[dict[str, Any]]:
    """A row for each defective picture that one of several methods alone finds, or none: there "found_by" is "".

    "methods": how many saw it."""
    rows = []
    for one in defective_pictures(outcomes):
        finders = [method for method, caught in one.found.items() if caught]
        if len(one.found) > 1 and len(finders) < 2:
            rows.append({
                "found_by": finders[0] if finders else "", "data": one.data, "kind": one.kind, "picture": one.name,
                "methods": len(one.found),
            })  # fmt: skip
    return sorted(rows, key=lambda row: (row["found_by"], row["data"], row["picture"]))
