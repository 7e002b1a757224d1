"""Which frames of which recordings a data set takes: whole recordings to one side, frames evenly over them and time."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddad_jax.data.listing import listed
from ddad_jax.data.load import GOOD
from ddad_jax.data.names import require_apart, require_kind
from ddad_jax.data.split import spread
from ddad_jax.engine.captures.labelling import Label, Labels, label_of
from ddad_jax.engine.captures.recording import LIVE, MANIFEST, NORMAL, Capture, Captured
from ddad_jax.errors import InputError
from ddad_jax.sources.open import station_settings

BAD = ("blurred", "over", "under")
"""Flags of frames that are left out unless they are asked for."""
TRAIN, TEST = "train", "test"


class Wanted(NamedTuple):
    """How many pictures, and of which frames.

    train: normal ones to learn from. per_defect: to test on, of each kind. test_good: normal ones to test on.
    held_back: normal recordings to test on; empty: drawn by ``seed``, in the proportion of test_good to train, one at
    least.
    keep_bad: blurred, over- and under-exposed frames too. turned_away: frames of a defect's recording in which it is
    known not to be in view count as normal ones to test on. least_defect: share of the picture; frames in which less of
    the defect is known to be in view are left out.
    """

    train: int = 300
    per_defect: int = 150
    test_good: int = 60
    held_back: tuple[str, ...] = ()
    seed: int = 0
    keep_bad: bool = False
    turned_away: bool = False
    least_defect: float = 0.0


class ChosenFrame(NamedTuple):
    """One picture of the data set."""

    capture: Capture
    frame: Captured
    side: str
    """"train" or "test"."""
    kind: str
    """"good" or the name of a defect."""
    label: Label


class FrameChoice(NamedTuple):
    pictures: list[ChosenFrame]
    sides: dict[str, str]
    """Recording -> "train" or "test"; all that could be used, whether or not a frame of them was taken."""
    left_out: dict[str, int]
    """Why frames were no candidates -> how many."""


def choose(captures: Sequence[Capture], labels: Labels, wanted: Wanted) -> FrameChoice:
    """Frames for each part of the set, in the order of kind, recording and time.

    Raises:
      InputError: no two normal recordings to tell training and test apart; a recording held back that is not there,
        or is not normal; a normal recording whose truth has a defect; kinds whose names differ by case or Unicode form
        alone; no frame left for training or testing.
    """
    sides = _sides(captures, wanted)
    left_out = dict.fromkeys((FLAGGED, AWAY, BARELY), 0)
    pools: dict[tuple[str, str], dict[str, list[ChosenFrame]]] = {}
    kinds: dict[str, str] = {}
    for capture in captures:
        for frame in capture.frames:
            label = label_of(capture, frame, labels)
            kind, side = _kind(capture, label), sides[capture.recording]
            why = _unfit(capture, frame, kind, label, wanted)
            if why:
                left_out[why] += 1
            else:
                recordings = pools.setdefault((side, kind), {})
                recordings.setdefault(capture.recording, []).append(ChosenFrame(capture, frame, side, kind, label))
                kinds.setdefault(kind, _from(capture, label))
    require_apart(kinds.items())
    totals = {(TRAIN, GOOD): wanted.train, (TEST, GOOD): wanted.test_good}
    pictures = [
        chosen
        for part, recordings in sorted(
            pools.items(), key=lambda pool: (pool[0][0] != TRAIN, pool[0][1] != GOOD, pool[0])
        )
        for chosen in evenly(recordings, totals.get(part, wanted.per_defect))
    ]
    for side, mend in ((TRAIN, "normal recordings"), (TEST, "recordings to test on")):
        if not any(chosen.side == side for chosen in pictures):
            raise InputError(
                f"no picture is left for {side}: capture {mend}, ask for more than 0, or take flagged frames too "
                "(--keep_bad)"
            )
    return FrameChoice(pictures, sides, left_out)


FLAGGED, AWAY, BARELY = "flagged as blurred or badly exposed", "defect turned away", "defect barely in view"


def _unfit(capture: Capture, frame: Captured, kind: str, label: Label, wanted: Wanted) -> str:
    """Why a frame is no candidate; empty where it is one."""
    if not wanted.keep_bad and set(frame.flags) & {*BAD}:
        return FLAGGED
    if kind == GOOD:
        return AWAY if capture.state not in NORMAL and not wanted.turned_away else ""
    return BARELY if label.defect and label.area < wanted.least_defect * math.prod(capture.size) else ""


def evenly(recordings: Mapping[str, Sequence[ChosenFrame]], total: int) -> list[ChosenFrame]:
    """At most ``total`` frames, as many of each recording where it has so many, evenly over each."""
    shares = shared([len(frames) for frames in recordings.values()], total)
    picked = zip(recordings.values(), shares, strict=True)
    return [frames[i] for frames, share in picked if share for i in spread(len(frames), share)]


def shared(available: Sequence[int], total: int) -> list[int]:
    """min(total, sum of available) cut into shares that differ by one at most, except where fewer are available."""
    shares, left = [0] * len(available), total
    for turn, i in enumerate(sorted(range(len(available)), key=lambda i: available[i])):
        shares[i] = min(available[i], left // (len(available) - turn))
        left -= shares[i]
    return shares


def origin(capture: Capture) -> str:
    """What two captures share that may show the same moments: a recording that can be played again is one, however
    often it was captured and under whatever name."""
    if capture.kind in LIVE:
        return capture.recording
    if capture.kind == "station":
        # Another length, rate or size of the same video shows the same moments.
        filmed = station_settings(capture.source.removeprefix("station:"))
        return f"station {(filmed.product, filmed.state, filmed.video, filmed.setup, filmed.can, filmed.seed)}"
    try:
        return f"{capture.kind} {Path(capture.source).expanduser().resolve()}"
    except (OSError, RuntimeError, ValueError):  # captured elsewhere, where that user or that path was known
        return f"{capture.kind} {capture.source}"


def _sides(captures: Sequence[Capture], wanted: Wanted) -> dict[str, str]:
    normal = [capture for capture in captures if capture.state == "normal"]
    tests = [capture for capture in captures if capture.state != "normal"]
    if not normal:
        raise InputError(
            f"--product={captures[0].product}: none of its {len(captures)} recordings is normal (state 'normal'); "
            "training needs some"
        )
    groups: dict[str, list[Capture]] = {}
    for capture in normal:
        groups.setdefault(origin(capture), []).append(capture)
    held = _held_back(groups, tests, wanted)
    sides = {capture.recording: TEST for capture in tests}
    return sides | {c.recording: TEST if key in held else TRAIN for key, group in groups.items() for c in group}


def _held_back(groups: Mapping[str, Sequence[Capture]], tests: Sequence[Capture], wanted: Wanted) -> set[str]:
    """Which of the normal recordings' origins are tested on."""
    seen = {origin(capture) for capture in tests} & {*groups}  # a normal stretch of a recording that is tested on
    if wanted.held_back:
        of = {capture.recording: key for key, group in groups.items() for capture in group}
        unknown = [name for name in wanted.held_back if name not in of]
        if unknown:
            raise InputError(
                f"--held_back={','.join(unknown)}: no such normal recording; there are {listed(sorted(of))}"
            )
        held = {of[name] for name in wanted.held_back}
        others = [name for name, key in of.items() if key in held and name not in wanted.held_back]
        if others:
            raise InputError(f"--held_back: {others[0]} shows the same source as one of them; hold it back as well")
        held |= seen
    else:
        free = sorted({*groups} - seen)
        share = wanted.test_good / max(wanted.test_good + wanted.train, 1)
        fewest = 1 if wanted.test_good and not seen else 0
        n = min(max(round(share * len(groups)) - len(seen), fewest), max(len(free) - 1, 0))
        if n < fewest and not any(capture.state == "hard" for capture in tests):
            raise InputError(
                f"{len(groups)} normal recording: normal pictures to train on and to test on must come from different "
                "recordings, or neighbouring frames would stand on both sides. Capture another one (state normal or "
                "hard), or do without normal test pictures (--test_good=0)."
            )
        held = seen | {free[i] for i in np.random.default_rng(wanted.seed).permutation(len(free))[:n]}
    if len(held) == len(groups):
        raise InputError(
            "no normal recording is left to train on: all of them are held back, or show the source of a recording "
            "that is tested on. Capture another normal one."
        )
    return held


def _kind(capture: Capture, label: Label) -> str:
    if capture.state in NORMAL:
        if label.defect:
            raise InputError(
                f"{capture.folder}: its state is {capture.state!r}, but its masks show a defect ({label.file}); "
                "capture it with the defect's name as --state"
            )
        return GOOD
    if label.defect is False:
        return GOOD
    return label.kind or require_kind(capture.state, _from(capture, label))


def _from(capture: Capture, label: Label) -> str:
    """Where the kind of a frame's defect was read, for messages."""
    return label.regions[0].where if label.kind else f"{capture.folder / MANIFEST}: the state"
