"""The paper's data set on the simulated station: ``python -m experiments.station --out=runs/station --product=coffee``.

Films OUT/captures/PRODUCT-STATE-VIDEO and makes the data set OUT/sets/PRODUCT of it, which
``experiments/configs/station.py`` trains on. As in Huynh et al. 2025, section 4.1: one frame a second of a disk at 2
RPM, five camera angles and lights, each of which films sound, dented and painted cans, 300 normal pictures to train on,
150 of each defect to test on. A recording that was finished before is not filmed again.

Pictures to train on and to test on come from different recordings. All states share the five set-ups, so that light
alone does not tell them apart; some normal recordings are hard ones, as the paper has. ``--new_setups`` tests in five
set-ups that training never saw, which is harder than what the paper did.
"""

from pathlib import Path

from absl import flags

from ddad_jax.data.can_render import PRODUCTS
from ddad_jax.engine.captures.assembling import print_assembled
from ddad_jax.engine.captures.filming import film_data_set
from ddad_jax.engine.captures.frame_choice import Wanted
from experiments import entry

PRODUCT = flags.DEFINE_list("product", list(PRODUCTS[:1]), f"One or more of {', '.join(PRODUCTS)}, or all.")
OUT = flags.DEFINE_string("out", None, "Folder for captures and data sets; what is finished in it is used again.")
# Smaller ones count as blurred: sharpness is measured at 64 px.
SIZE = flags.DEFINE_integer("size", 64, "Side of the pictures in pixels.", lower_bound=64)
SEED = flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0)
TRAIN = flags.DEFINE_integer("train", 300, "Normal pictures to train on.", lower_bound=1)
PER_DEFECT = flags.DEFINE_integer("per_defect", 150, "Pictures of each defect to test on.", lower_bound=1)
TEST_GOOD = flags.DEFINE_integer("test_good", 140, "Normal pictures to test on, hard ones among them.", lower_bound=1)
VIDEOS = flags.DEFINE_integer("videos", 5, "Camera angles and lights, which all states are filmed in.", lower_bound=2)
NEW_SETUPS = flags.DEFINE_bool("new_setups", False, "Test in others than those to train in.")
HARD = flags.DEFINE_integer("hard", 2, "Recordings of sound cans in bad light, to test on.", lower_bound=0)


def main() -> None:
    wanted = Wanted(TRAIN.value, PER_DEFECT.value, TEST_GOOD.value, seed=SEED.value)
    products = PRODUCTS if PRODUCT.value == ["all"] else PRODUCT.value
    for product in products:
        sizes = {"videos": VIDEOS.value, "hard": HARD.value, "size": SIZE.value}
        print_assembled(film_data_set(product, Path(OUT.value or ""), wanted, **sizes, new_setups=NEW_SETUPS.value))


if __name__ == "__main__":
    entry.run_without_config(main, required=("out",))
