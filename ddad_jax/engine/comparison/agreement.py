"""Which defects which methods find: by kind, and those that one method alone finds or none does."""

from collections.abc import Sequence
from typing import Any

from ddad_jax.engine.comparison.rows import ComparedScores, RunOutcome

CAUGHT = "found"


def kind_rows(outcomes: Sequence[RunOutcome]) -> list[dict[str, Any]]:
    """A row for each data set and kind of defect: "data", "kind", "pictures", and for each method the share that it
    finds at its label-free threshold, over all seeds. The kind that is found least comes first."""
    methods = list(dict.fromkeys(one.run.method.name for one in outcomes))
    rows = []
    for data in dict.fromkeys(one.run.data.name for one in outcomes):
        of_data = [one for one in outcomes if one.scores is not None and one.run.data.name == data]
        kinds = dict.fromkeys(kind for one in of_data for kind in _defective_kinds(one.scores))
        for kind in kinds:
            shares: dict[str, float] = {}
            pictures = 0
            for method in methods:
                caught = [c for one in of_data if one.run.method.name == method for c in _caught(one.scores, kind)]
                if caught:
                    shares[method], pictures = sum(caught) / len(caught), max(pictures, len(caught))
            rows.append({"data": data, "kind": kind, "pictures": pictures, **shares})
    return sorted(rows, key=lambda row: sum(row.get(name, 0.0) for name in methods))


def lone_finds(outcomes: Sequence[RunOutcome]) -> list[dict[str, Any]]:
    """A row for each defective picture that one of several methods alone finds, or none: there "found_by" is "".

    Methods are compared on pictures of the same data set, seed and name."""
    rows = []
    for data, seed in dict.fromkeys((one.run.data.name, one.run.seed) for one in outcomes):
        here = [one for one in outcomes if one.scores is not None and (one.run.data.name, one.run.seed) == (data, seed)]
        by_name: dict[str, dict[str, bool]] = {}
        kinds: dict[str, str] = {}
        for one in here:
            assert one.scores is not None
            for name, kind, label, outcome in zip(
                one.scores.names, one.scores.defects, one.scores.labels, one.scores.outcomes, strict=True
            ):
                if label:
                    kinds[name] = kind
                    by_name.setdefault(name, {})[one.run.method.name] = outcome == CAUGHT
        for name, found in by_name.items():
            finders = [method for method, caught in found.items() if caught]
            if len(found) > 1 and len(finders) < 2:
                rows.append({
                    "found_by": finders[0] if finders else "", "data": data, "seed": seed, "kind": kinds[name],
                    "picture": name, "methods": len(found),
                })  # fmt: skip
    return sorted(rows, key=lambda row: (row["found_by"], row["data"], row["picture"]))


def _defective_kinds(scores: ComparedScores | None) -> list[str]:
    return [] if scores is None else [k for k, label in zip(scores.defects, scores.labels, strict=True) if label]


def _caught(scores: ComparedScores | None, kind: str) -> list[bool]:
    if scores is None:
        return []
    return [
        outcome == CAUGHT
        for outcome, own, label in zip(scores.outcomes, scores.defects, scores.labels, strict=True)
        if label and own == kind
    ]
