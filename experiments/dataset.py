"""A data set out of captures: ``python -m experiments.dataset --captures='runs/captures/*' --out=ROOT --product=NAME``.

MVTec AD layout in ROOT/NAME, so that ``--config.data.kind=folder --config.data.root=ROOT --config.data.category=NAME``
reads it. Normal pictures to train on and to test on come from different recordings. ``manifest.json`` beside them says
where each picture comes from. Made before with the same flags from the same captures: nothing is done.
"""

from absl import flags

from ddad_jax.data.outlines import LINE_WIDTH
from ddad_jax.engine.captures.assembling import assemble, captures_of, print_assembled
from ddad_jax.engine.captures.frame_choice import Wanted
from ddad_jax.engine.captures.labelling import Drawing
from experiments import entry

CAPTURES = flags.DEFINE_list("captures", None, "Folders of captures, or patterns such as 'runs/captures/*'.")
OUT = flags.DEFINE_string("out", None, "Root of data sets; the new one is a folder in it named by its product.")
PRODUCT = flags.DEFINE_string("product", None, "Which product, as captured.")
_OF = Wanted()
TRAIN = flags.DEFINE_integer("train", _OF.train, "Normal pictures to train on.", lower_bound=1)
PER_DEFECT = flags.DEFINE_integer("per_defect", _OF.per_defect, "Pictures of each defect to test on.", lower_bound=0)
TEST_GOOD = flags.DEFINE_integer("test_good", _OF.test_good, "Normal pictures to test on.", lower_bound=0)
HELD_BACK = flags.DEFINE_list("held_back", [], "Normal recordings to test on; none named: drawn by --seed.")
SEED = flags.DEFINE_integer("seed", _OF.seed, "Of that draw.", lower_bound=0)
LABELS = flags.DEFINE_list("labels", [], "VIA files (.csv, .json) and folders of mask images.")
ATTRIBUTE = flags.DEFINE_string("attribute", "", "VIA region attribute that names the defect; none: the state does.")
LINE = flags.DEFINE_float("line_width", LINE_WIDTH, "Pixels that a VIA polyline is wide.", lower_bound=1.0)
LOOKED_AT = flags.DEFINE_boolean("listed_is_looked_at", False, "Pictures in a VIA file without regions show no defect.")
KEEP_BAD = flags.DEFINE_boolean("keep_bad", _OF.keep_bad, "Take frames flagged as blurred or badly exposed, too.")
TURNED = flags.DEFINE_boolean("turned_away", _OF.turned_away, "Frames whose defect is out of view are test/good.")
LEAST = flags.DEFINE_float(
    "least_defect", _OF.least_defect, "Share of the picture; frames with less of the defect in view are left out.",
    lower_bound=0.0, upper_bound=1.0,
)  # fmt: skip
UNFINISHED = flags.DEFINE_boolean("unfinished", False, "Take captures that did not finish, too.")


def main() -> None:
    wanted = Wanted(
        train=TRAIN.value,
        per_defect=PER_DEFECT.value,
        test_good=TEST_GOOD.value,
        held_back=tuple(HELD_BACK.value),
        seed=SEED.value,
        keep_bad=KEEP_BAD.value,
        turned_away=TURNED.value,
        least_defect=LEAST.value,
    )
    drawing = Drawing(LINE.value, LOOKED_AT.value, ATTRIBUTE.value)
    made = assemble(
        captures_of(CAPTURES.value or []),
        OUT.value or "",
        PRODUCT.value or "",
        labels=LABELS.value,
        wanted=wanted,
        drawing=drawing,
        unfinished=UNFINISHED.value,
    )
    print_assembled(made)


if __name__ == "__main__":
    entry.run_without_config(main, required=("captures", "out", "product"))
