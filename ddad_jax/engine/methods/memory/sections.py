"""Settings that methods with a memory have in common: of their maps, and of what a sweep tries."""

from dataclasses import dataclass

from ddad_jax.engine.methods.backbone import need_stages
from ddad_jax.engine.settings.need import Need, values_at
from ddad_jax.engine.settings.sections import ScoreSettings, Settings
from ddad_jax.engine.settings.setting import BOOL, number, setting, whole_number

PATCH = whole_number(1, 99, "an odd side in positions of the first layer, such as 3")
BATCH = whole_number(1, 2**20)
_SIGMA = number(0, 256, "0 (no blur) to 256, in pixels of a picture of 256")


@dataclass(frozen=True)
class MapScoreSettings(ScoreSettings):
    """From the distances of patches to a map, and to the picture's score."""

    sigma: float = setting(4.0, _SIGMA, "of the blur, in pixels of a 256 px image; scaled with the size; published 4")
    repeat_edge: bool = setting(
        False, BOOL, "the blur goes on beyond the border with the pixel there, not with the picture's mirror image; "
        "published True",
    )  # fmt: skip


def check_memory_jointly(c: Settings, need: Need) -> None:
    """What these settings can only break together.

    Raises:
      InputError: naming the first flag whose value cannot be used with the others.
    """
    need("sweep.mask_after", True not in values_at(c, "sweep.mask_after") or bool(c.view.mask),
         "(), or the mask of the view as --config.view.mask=FILE")  # fmt: skip
    for flag in (f"{c.method}.patch", "sweep.patch"):
        need(flag, all(side % 2 for side in values_at(c, flag)), PATCH.expected)
    swept = [name for layers in values_at(c, "sweep.layers") for name in layers]
    need_stages(c.backbone, need, {f"{c.method}.layers": values_at(c, f"{c.method}.layers"), "sweep.layers": swept})
