"""What a report says and draws of DDAD alone: how its networks learnt, and how fast which accuracy is had."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddad_jax.data import ImageSet
from ddad_jax.data.split import subset
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.figures import (
    adaptation_curves,
    frontier_figure,
    frontier_table,
    side_by_side_figure,
    training_curves,
)
from ddad_jax.engine.figures.frontier import best_spots, frontier
from ddad_jax.engine.figures.side_by_side import Column
from ddad_jax.engine.methods.ddad.evidence import compared_pictures, teacher_of
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.side_by_side import MOST, load_side_by_side, side_by_side_rows
from ddad_jax.engine.store.tables import Row, read_jsonl
from ddad_jax.points import ReconPoint

CHOSEN_BY = {
    "contrast": ("chosen on held-out normal pictures", "contrast"),
    "synthetic": ("chosen on synthetic defects", "synthetic_image_auroc"),
    "last": ("as configured", "contrast"),
}
"""``adapt.choose`` -> how the kept epoch was come by, and the column of adapt.jsonl that is drawn with it."""

UNREDRAWN = {
    "inversion": "Nothing is redrawn at the selected point and no features are looked at: the network leads a picture "
    "to noise in {steps} calls, up to time {t_prime}, and the map is how long that noise is at each pixel.",
    "resilience": "Nothing is redrawn at the selected point and no features are looked at: a little noise (of time "
    "{t_prime}) is put on a picture {draws} times, with both signs, and the map is how much of it the network does not "
    "see.",
}
"""``sample.scoring`` -> what a verdict is come by without a reconstruction."""

PAIRED = {"self": "their own reconstructions", "other": "reconstructions of others led towards them"}
"""``adapt.pairs`` -> what a picture was compared with."""

ENOUGH = 10
"""Times that a training picture should have been met: an untrained network redraws nothing. The demo has about 30."""


def network_notes(c: DDADSettings, data: Data, row: Mapping[str, Any], adapted: Mapping[str, Any]) -> list[str]:
    """On the networks; row: of the selected point. adapted: ``extractor.adaptation_record``."""
    scoring = UNREDRAWN.get(row.get("scoring", "reconstruction"))
    epoch, adapted_by = row["adapt_epoch"], CHOSEN_BY[c.adapt.choose][0]
    learnt = f"adapted for {epoch} epoch{'s'[: epoch > 1]} ({adapted_by})." if epoch else "not adapted."
    gaussian, unet = "a Gaussian of the training pictures, which is exact", f"U-Net of base width {c.model.base}"
    predictor = (
        f"Noise predictor: {unet}{f' on top of {gaussian}' if c.model.prior == 'gaussian' else ''}, trained "
        f"{row['train_steps']} steps, each picture about {_seen(c, data, row):.3g} times."
        if c.train.steps
        else f"Noise predictor: {gaussian}; nothing was trained."
    )
    if scoring:
        return [f"{predictor} {scoring.format(**row)}"]
    said = [f"{predictor} Features: {c.backbone.name}, {learnt}"]
    if "share" in adapted:
        said.append(
            f"Adaptation compared pictures with {PAIRED[adapted['pairs']]}, which show {adapted['of_target']:.2f} of "
            f"their target and {adapted['of_other']:.2f} of another picture (least squares)."
        )
    return said


def _seen(c: DDADSettings, data: Data, row: Mapping[str, Any]) -> float:
    """How often the noise predictor has met each training picture, or tile, on average."""
    return row["train_steps"] * c.train.batch_size / len(data.fit.labels)


def warnings(c: DDADSettings, data: Data, row: Mapping[str, Any], adapted: Mapping[str, Any]) -> list[str]:
    """Where the results say how long the training was, and not what the method can do; where the epoch was chosen by
    the pictures that give the threshold."""
    said, seen = [], _seen(c, data, row)
    if adapted and "tuning_images" not in adapted and data.tuning is not None:
        said.append(
            "An earlier version chose the extractor's epoch by all held-out pictures, those that give the threshold "
            "among them, so the bound on false alarms is not exact. A new workdir keeps them apart."
        )
    if seen >= ENOUGH or not c.train.steps:
        return said
    return [
        *said,
        f"Training was very short: {row['train_steps']} steps of at most {c.train.steps}, in which each picture "
        f"was met {seen:.2g} times. Do not judge the method by this run: in a new workdir, raise --config.train."
        f"max_minutes (now {c.train.max_minutes:g}) or --config.train.steps, or train while the machine is idle.",
    ]


def ddad_figures(
    c: DDADSettings, workdir: Path, data: Data, rows: Sequence[Row], epoch: int, folder: Path
) -> dict[str, Any]:
    """Fields of ``report.content.Report``; drawn into ``folder``."""
    return {
        "frontier": frontier_figure(rows, folder / "frontier.png"),
        "frontier_rows": frontier_table(rows),
        "side_by_side": side_by_side_figure(*gather(c, workdir, data.test, rows), folder / "side_by_side.png"),
        "training": training_curves(read_jsonl(workdir / "train.jsonl"), folder / "training.png"),
        "adaptation": adaptation_curves(
            read_jsonl(workdir / "adapt.jsonl"),
            folder / "adaptation.png",
            chosen=epoch,
            metric=CHOSEN_BY[c.adapt.choose][1],
        ),
    }


def gather(c: DDADSettings, workdir: Path, test: ImageSet, rows: Sequence[Row]) -> tuple[ImageSet, list[Column]]:
    """The shown test pictures and their columns: the selected point's fine teacher, that point, and the best ways of
    the frontier; without those that no file has."""
    at = side_by_side_rows(test, compared_pictures(test, c.teacher_images))
    columns: list[Column] = []
    spots = frontier(rows) if c.teacher else []
    for spot in [*(spot for spot in spots if spot.selected), *best_spots(spots, MOST)]:
        for row in spot.rows:
            if redrawn := load_side_by_side(workdir, row, at):
                if spot.selected:
                    point = ReconPoint(**{name: row[name] for name in ReconPoint._fields})
                    columns.append(Column("fine teacher", teacher_of(point, c.teacher).calls, redrawn.teacher))
                columns.append(Column(spot.way, spot.calls, redrawn.x0, redrawn.teacher))
                break
    return subset(test, at), columns
