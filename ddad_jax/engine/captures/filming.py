"""Which recordings of the simulated station make the paper's data set, and that set: filmed once, assembled.

Source: Huynh et al. (2025), section 4.1: five recordings a state, from various camera angles and in various light.
"""

import math
from pathlib import Path
from typing import NamedTuple

from ddad_jax.data.can_render import PRODUCTS
from ddad_jax.data.read import expanded
from ddad_jax.engine.captures.assembling import Assembled, assemble
from ddad_jax.engine.captures.frame_choice import Wanted
from ddad_jax.engine.captures.writing import CaptureOptions, capture
from ddad_jax.errors import InputError

TURN = 30
"""Frames of a turn: 2 RPM, one frame a second."""
TAKES = 2
IN_VIEW = 5
"""Turns for one turn's worth of frames with the defect in view, where an eye finds it."""


class Recording(NamedTuple):
    """One video to film in a set-up of camera and light; ``test`` says which side of the data set it is for."""

    product: str
    state: str
    video: int
    setup: int
    seconds: int
    test: bool

    @property
    def name(self) -> str:
        return f"{self.product}-{self.state}-{self.video}"

    def source(self, size: int, seed: int) -> str:
        options = f"state={self.state}&video={self.video}&setup={self.setup}&seed={seed}"
        options += f"&seconds={self.seconds}&size={size}&fps=1"
        return f"station:{self.product}?{options}"


def recordings(product: str, wanted: Wanted, videos: int, hard: int, *, new_setups: bool = False) -> list[Recording]:
    """What to film for so many pictures: whole turns.

    videos: set-ups of camera and light. In each of them sound cans are filmed `TAKES` times to train on, so that whole
    recordings can be held out of training without losing a set-up, and every state once to test on; somebody touches
    camera and light in between. new_setups: those to test in are others than those to train in.
    """

    def turns(pictures: int, over: int) -> int:
        return TURN * math.ceil(math.ceil(pictures / over) / TURN)

    trained = [(video, video % videos) for video in range(TAKES * videos)]
    tested = [(TAKES * videos + setup, setup + videos * new_setups) for setup in range(videos)]
    normal = [("normal", *one) for one in tested] + [("hard", *one) for one in tested[:hard]]
    defects = [(state, *one) for state in ("dent", "paint") for one in tested]
    train, good = turns(wanted.train, len(trained)), turns(wanted.test_good, len(normal))
    defect = IN_VIEW * turns(wanted.per_defect, videos)
    return [
        *(Recording(product, "normal", *one, train, test=False) for one in trained),
        *(Recording(product, *one, good, test=True) for one in normal),
        *(Recording(product, *one, defect, test=True) for one in defects),
    ]


def film(recording: Recording, out: Path, size: int, seed: int) -> Path:
    """The folder ``out`` of a finished capture: made before, taken up again, or made now.

    Raises:
      InputError: it holds another capture, cannot be written, or was stopped.
    """
    manifest = capture(CaptureOptions(recording.source(size, seed), out, resume=True))
    if not manifest["finished"]:
        raise InputError(f"{out}: stopped ({manifest['ended']}); the same command goes on where it was")
    return out


def film_data_set(
    product: str, out: Path, wanted: Wanted, *, videos: int, hard: int, size: int, new_setups: bool = False
) -> Assembled:
    """Film what is missing of a product and make its data set.

    Raises:
      InputError: unknown product; ``out`` cannot be written to, or holds captures or a set of other settings.
    """
    if product not in PRODUCTS:
        raise InputError(
            f"--product={product}: the station has {', '.join(PRODUCTS)}, or all of them with --product=all"
        )
    out = expanded(out, "--out")
    todo = recordings(product, wanted, videos, hard, new_setups=new_setups)
    folders = [film(recording, out / "captures" / recording.name, size, wanted.seed) for recording in todo]
    held = tuple(recording.name for recording in todo if recording.test and recording.state == "normal")
    return assemble(folders, out / "sets", product, wanted=wanted._replace(held_back=held))
