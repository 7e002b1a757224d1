"""What a run's thresholds make of each test picture, of each kind of defect, and what other thresholds would."""

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import tifffile
from scipy.stats import mannwhitneyu
from skimage.transform import resize

from ddad_jax.data import ImageSet
from ddad_jax.data.read import image_size, read_full
from ddad_jax.engine.data.data_sets import KINDS
from ddad_jax.engine.data.splits import Data, tuning_share
from ddad_jax.engine.figures.verdicts import Card
from ddad_jax.engine.settings.sections import DataSettings, OutputSettings, Settings, ViewSettings
from ddad_jax.engine.store.output_files import inside, output_names, require_told_apart
from ddad_jax.engine.store.tables import write_bytes
from ddad_jax.engine.verdicts.overlay import overlay
from ddad_jax.engine.verdicts.thresholds import Normal, Thresholds, calibrate
from ddad_jax.image import centre_crop
from ddad_jax.metrics.at_threshold import OUTCOMES, at_threshold, iou_at, outcomes, per_defect, thresholds_by_label
from ddad_jax.metrics.intervals import share_interval
from ddad_jax.metrics.thresholds import Threshold
from ddad_jax.vision.regions import regions

LEAST_SIDE = 256
"""Pictures that are in no file are drawn on at this side or more, or their contours would hide them."""

LONGEST = 480
"""Side of a picture in the report: a camera's has more pixels than a page shows."""


class Files(NamedTuple):
    """Of test pictures. paths: None for one that is in no file or whose map does not lie over its file. upright:
    whether they are turned as their EXIF tag says."""

    paths: tuple[Path | None, ...]
    upright: bool


class JudgedPictures(NamedTuple):
    """Test pictures with what was found. scores: [n]; maps: [n, h, w], masks: bool [n, h, w], both cropped as
    configured. files: None for pictures without."""

    test: ImageSet
    scores: np.ndarray
    maps: np.ndarray
    masks: np.ndarray
    files: Files | None = None


def files_of(data: DataSettings, view: ViewSettings, names: Sequence[str]) -> Files:
    """Those that pictures of these names were read from. A registered picture's map lies over the reference, not over
    its file."""
    paths = [Path(data.root) / name for name in names]
    over_files = bool(data.root) and not view.register
    return Files(tuple(path if over_files and path.is_file() else None for path in paths), KINDS[data.kind].upright)


def drawn_size(judged: JudgedPictures, i: int) -> tuple[int, int]:
    """(height, width) at which picture i is drawn on: that of its file, or its own, enlarged if it is small."""
    if judged.files and (path := judged.files.paths[i]):
        return image_size(path, orient=judged.files.upright)
    height, width = judged.test.images.shape[1:3]
    times = max(1, -(-LEAST_SIDE // max(height, width)))
    return times * height, times * width


def original(judged: JudgedPictures, i: int) -> np.ndarray:
    """Picture i as it was taken, or as the network sees it where there is no file: uint8 [H, W, 3]."""
    if judged.files and (path := judged.files.paths[i]):
        return read_full(path, orient=judged.files.upright)
    height, width = drawn_size(judged, i)
    return np.asarray(cv2.resize(judged.test.images[i], (width, height), interpolation=cv2.INTER_CUBIC))


def uncropped_map(judged: JudgedPictures, cropped: np.ndarray, fill: Any) -> np.ndarray:
    """A map or mask as large as the picture again, ``fill`` where it was cropped away."""
    height, width = judged.test.images.shape[1:3]
    top, left = (height - cropped.shape[0]) // 2, (width - cropped.shape[1]) // 2
    padded = np.full((height, width), fill, cropped.dtype)
    padded[top : top + cropped.shape[0], left : left + cropped.shape[1]] = cropped
    return padded


def drawn(judged: JudgedPictures, i: int, pixel_threshold: float, *, longest: int = 0) -> np.ndarray:
    """``overlay`` of picture i with the true mask where it is known, at ``drawn_size``.

    longest: sides are at most so many pixels; 0: as long as they are.
    """
    picture = original(judged, i)
    scale = longest / max(picture.shape[:2])
    if 0 < scale < 1:
        # Before anything is drawn, or its contours would become too thin to see.
        height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
    mask = uncropped_map(judged, judged.masks[i], False) if judged.test.has_mask[i] else None
    anomaly_map = uncropped_map(judged, judged.maps[i], -np.inf)
    found = regions(anomaly_map, pixel_threshold, size=picture.shape[:2])
    return overlay(picture, anomaly_map, pixel_threshold, found, mask)


def verdict_rows(judged: JudgedPictures, thresholds: Thresholds) -> list[dict[str, Any]]:
    """A row a test picture, in their order; areas in pixels of the picture as ``drawn_size`` has it."""
    test, threshold = judged.test, thresholds.score.value
    rows = []
    for i, outcome in enumerate(outcomes(judged.scores, test.labels, threshold)):
        score, anomaly_map = float(judged.scores[i]), uncropped_map(judged, judged.maps[i], -np.inf)
        found = regions(anomaly_map, thresholds.of_pixels.value, size=drawn_size(judged, i))
        rows.append(
            {
                "name": test.names[i],
                "defect": test.defects[i],
                "label": int(test.labels[i]),
                "score": score,
                "threshold": threshold,
                "verdict": "anomalous" if score > threshold else "normal",
                "outcome": outcome,
                "margin": score - threshold,
                "regions": len(found),
                "largest_region": max((region.area for region in found), default=0.0),
            }
        )
    return rows


def worst_first(rows: list[dict[str, Any]]) -> list[int]:
    """Places of the rows: what got through first, the lowest score leading, then false alarms, the highest leading."""
    rank = {outcome: place for place, outcome in enumerate(OUTCOMES)}
    signed = [row["score"] if row["label"] else -row["score"] for row in rows]
    return sorted(range(len(rows)), key=lambda i: (rank[rows[i]["outcome"]], signed[i]))


def cards(judged: JudgedPictures, rows: list[dict[str, Any]], outcome: str, threshold: float, most: int) -> list[Card]:
    """Of the pictures with this outcome, the worst first, at most so many; threshold: of pixels."""
    chosen = [i for i in worst_first(rows) if rows[i]["outcome"] == outcome][:most]
    kept = ("name", "defect", "label", "score", "threshold")
    return [
        Card(**{name: rows[i][name] for name in kept}, image=drawn(judged, i, threshold, longest=LONGEST))
        for i in chosen
    ]


def rule_rows(judged: JudgedPictures, thresholds: Thresholds) -> list[dict[str, Any]]:
    """What every rule would do to the test pictures; ``used`` marks the configured one. Then, marked by
    ``uses_test_labels``, thresholds that were chosen by the labels they are judged by."""
    rows = []
    for rule, one in thresholds.image.items():
        pixel = thresholds.pixel.get(rule)
        of_pixels = None if pixel is None else pixel.value
        rows.append(
            {
                "rule": rule, "used": one == thresholds.score, "used_for_pixels": pixel == thresholds.of_pixels,
                "uses_test_labels": False, "threshold": one.value, "n": one.n, **_counted(judged, one.value),
                "pixel_threshold": of_pixels, "iou": None if of_pixels is None else _iou(judged, of_pixels),
                "guarantee": one.guarantee, "warning": one.warning,
            }
        )  # fmt: skip
    values = {rule: one.value for rule, one in thresholds.image.items()}
    for criterion, value in thresholds_by_label(judged.scores, judged.test.labels, values):
        rows.append(
            {
                "rule": criterion, "used": False, "uses_test_labels": True, "threshold": value,
                **_counted(judged, value), "guarantee": "none", "warning": "chosen by test labels: must not be used",
            }
        )  # fmt: skip
    return rows


def unlike_held_out(judged: JudgedPictures, normal_scores: np.ndarray) -> list[str]:
    """A sentence where the good test pictures do not score as the held-out ones do; usually none.

    What every bound on false alarms rests on is that new normal pictures are like those it was calibrated on. Mann and
    Whitney's test at p < 0.001 on image scores: it sees pictures of other days or recordings, not every difference.
    """
    good = judged.scores[judged.test.labels == 0]
    if not good.size or not len(normal_scores):
        return []
    test = mannwhitneyu(good, normal_scores)
    share = test.statistic / (good.size * len(normal_scores))
    if not test.pvalue < 0.001:
        return []
    return [
        f"The good test pictures do not score like the {len(normal_scores)} held-out ones: they score higher in "
        f"{100 * share:.0f} % of pairs (p = {test.pvalue:.1g}). Bounds on false alarms hold for pictures like those a "
        "threshold was calibrated on; hold out pictures of the recordings, days and machines that will be inspected."
    ]


def more_than_asked(judged: JudgedPictures, threshold: Threshold) -> list[str]:
    """A sentence where more good test pictures raise a false alarm than the rule was asked for, beyond chance.

    That is where the whole 95 % interval of their share lies above ``Threshold.level``; rules that are asked for none
    are not judged.
    """
    counted = _counted(judged, threshold.value)
    if threshold.level is None or not counted["false_alarm_rate_low"] > threshold.level:
        return []
    n = int((judged.test.labels == 0).sum())
    low, high = (100 * counted[name] for name in ("false_alarm_rate_low", "false_alarm_rate_high"))
    return [
        f"{counted['false_alarms']} of {n} good test pictures raise a false alarm (95 % interval {low:.1f} to "
        f"{high:.1f} %), and the rule {threshold.rule} was asked for at most {100 * threshold.level:g} %: the "
        "threshold does not hold on these pictures."
    ]


MAPS, OVERLAYS = "anomaly_maps", "overlays"
"""Folders of a workdir."""
_ROOM = len("..1234567.part")
"""Bytes that ``write_bytes`` puts around a name."""


def require_outputs(output: OutputSettings, workdir: Path, names: Sequence[str]) -> None:
    """Before anything is computed: every test picture can have a map and an overlay of its own, where they are asked
    for.

    Args:
      workdir: that is there.
      names: of the test pictures.

    Raises:
      InputError: as ``output_names`` and ``require_told_apart``.
    """
    if output.maps:
        require_told_apart(workdir, output_names(names, ".tiff", room=_ROOM))
    if output.overlays:
        require_told_apart(workdir, output_names(names, ".png", room=_ROOM))


def write_maps(folder: Path, judged: JudgedPictures) -> None:
    """float32 .tiff maps at the original pictures' size, in MVTec's result layout; cropped maps keep their size.

    Raises:
      InputError: as ``output_names`` and ``inside``; nothing is written then.
    """
    targets = [inside(folder, output) for output in output_names(judged.test.names, ".tiff", room=_ROOM)]
    for i, (anomaly, target) in enumerate(zip(judged.maps, targets, strict=True)):
        size = anomaly.shape
        if judged.files and judged.files.paths[i] and size == judged.test.images.shape[1:3]:
            size = drawn_size(judged, i)
        content = io.BytesIO()
        tifffile.imwrite(content, resize(anomaly, size, order=1, mode="edge").astype(np.float32))
        write_bytes(target, content.getvalue())


def write_overlays(folder: Path, judged: JudgedPictures, pixel_threshold: float) -> None:
    """``drawn`` of every test picture as PNG, named as ``output_names`` says.

    Raises:
      InputError: as ``output_names`` and ``inside``; nothing is written then.
    """
    targets = [inside(folder, output) for output in output_names(judged.test.names, ".png", room=_ROOM)]
    for i, target in enumerate(targets):
        image = drawn(judged, i, pixel_threshold)
        content = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()
        write_bytes(target, content)


def _counted(judged: JudgedPictures, threshold: float) -> dict[str, Any]:
    """What it makes of the test pictures; the share of good ones above it with its interval (``share_interval``)."""
    counts = at_threshold(judged.scores, judged.test.labels, threshold)
    good = int((judged.test.labels == 0).sum())
    rate, (low, high) = float("nan"), (float("nan"), float("nan"))
    if good:
        rate, (low, high) = counts.false_alarms / good, share_interval(counts.false_alarms, good)
    return {
        "missed": counts.misses, "false_alarms": counts.false_alarms,
        "false_alarm_rate": rate, "false_alarm_rate_low": low, "false_alarm_rate_high": high,
        "accuracy": counts.accuracy, "precision": counts.precision, "recall": counts.recall, "f1": counts.f1,
    }  # fmt: skip


def _iou(judged: JudgedPictures, threshold: float) -> float:
    return iou_at(judged.maps, judged.masks, judged.test.has_mask, threshold)


# --- What the selected point makes of the test pictures: thresholds from normal pictures alone, and what they decide.

log = logging.getLogger(__name__)


class RunVerdicts(NamedTuple):
    """What the selected point makes of the test pictures. warnings: on the thresholds. verdicts, defects, rules: rows
    of scores.csv, per_defect.csv and thresholds.csv."""

    judged: JudgedPictures
    thresholds: Thresholds
    warnings: list[str]
    verdicts: list[dict[str, Any]]
    defects: list[dict[str, Any]]
    rules: list[dict[str, Any]]


def found_of(
    c: Settings,
    workdir: Path,
    data: Data,
    chosen: dict[str, np.ndarray],
    made: dict[str, Any],
    *,
    masked: bool,
) -> RunVerdicts:
    """Thresholds first, from normal pictures alone; then what they make of the test pictures.

    Args:
      made: what calibration.json says of the selected point. masked: whether the view's mask is used at it.
    """
    seen = data.view.watched if masked else None
    watched = None if seen is None else centre_crop(seen[None], c.score.crop)[0]
    scored = chosen["normal_scores"]
    share, tuned = tuning_share(c, data), 0 if data.tuning is None else len(data.tuning.labels)
    normal = Normal(scored, chosen["normal_maps"], data.n_held_out, watched, share, data.calibration_recordings)
    made = {**made, "tuning_images": tuned}
    thresholds, warnings = calibrate(workdir / "calibration.json", made, c.threshold, normal)
    test = data.test
    files = files_of(c.data, c.view, test.names)
    judged = JudgedPictures(test, chosen["scores"], chosen["maps"], centre_crop(test.masks, c.score.crop), files)
    truth = (test.labels, judged.masks, test.has_mask, test.defects)
    image, pixel = thresholds.score.value, thresholds.of_pixels.value
    unlike = more_than_asked(judged, thresholds.score) + unlike_held_out(judged, chosen["normal_scores"])
    for sentence in unlike:
        log.warning("%s", sentence)
    return RunVerdicts(
        judged,
        thresholds,
        [*warnings, *unlike],
        verdict_rows(judged, thresholds),
        per_defect(judged.maps, judged.scores, *truth, threshold=image, pixel_threshold=pixel),
        rule_rows(judged, thresholds),
    )
