"""Write a data set as tensorflow-datasets records: ``python -m experiments.prepare --kind=... --data_dir=...``.

Needs ``pip install 'ddad-jax[datasets]'``, not TensorFlow. The records hold the pictures as published, at their own
size. ``tfds.builder_from_directory(...).as_data_source()`` reads them, and so does every program here with
``--config.data.kind=tfds --config.data.root=DATA_DIR --config.data.category=NAME``; this program prints the NAME.

* folder: a category of ``--root`` in the layout of MVTec AD: ddad_folder/CATEGORY.
* mvtec, visa: a category of the published data: ddad_mvtec/CATEGORY, ddad_visa/OBJECT.
* mtd: the published pictures, the tiles to learn from drawn by ``--seed``: ddad_mtd/tile_seed_N; with
  ``--split=picture``, the paper's rule, the pictures: ddad_mtd/seed_N.
* cans: ``--category`` is the product, rendered at ``--size``: ddad_cans/PRODUCT_SIZEpx.
"""

import sys
from pathlib import Path

import absl.logging
from absl import flags

from ddad_jax.engine.store import lock
from ddad_jax.errors import InputError
from experiments import entry

KIND = flags.DEFINE_enum("kind", None, ["folder", "mvtec", "visa", "mtd", "cans"], "What is written.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "The folder of prepared data sets.")
ROOT = flags.DEFINE_string("root", "", "The folder the pictures lie in; none for cans.")
CATEGORY = flags.DEFINE_string("category", "", "The category, object or product; none for mtd.")
SEED = flags.DEFINE_integer("seed", 0, "Of mtd's draw and of cans.", lower_bound=0, upper_bound=999_999_999)
SPLIT = flags.DEFINE_enum("split", "tile", ["tile", "picture"], "Of mtd: what is drawn.")
SIZE = flags.DEFINE_integer("size", 64, "Side of rendered cans in pixels.", lower_bound=32, upper_bound=4096)
COUNTS = flags.DEFINE_list("counts", ["300", "60", "60"], "Cans: to learn from, good to test on, of each defect.")
flags.register_validator(
    "counts", lambda v: len(v) == 3 and all(n.isdecimal() and len(n) < 7 for n in v), "three whole numbers"
)


def main() -> None:
    # Flags are judged and help is given without the optional package.
    from ddad_jax.data.tfds import builder_of
    from ddad_jax.data.tfds.builders import VERSION

    absl.logging.set_verbosity(absl.logging.ERROR)  # it warns of every category that is not a published one
    n_train, n_test_good, n_defect = map(int, COUNTS.value)
    try:
        builder = builder_of(
            str(KIND.value),
            str(DATA_DIR.value),
            root=ROOT.value,
            category=CATEGORY.value,
            seed=SEED.value,
            size=SIZE.value,
            counts=(n_train, n_test_good, n_defect),
            split=str(SPLIT.value),
        )
        part = f"{builder.name}_{builder.category}" if builder.category else builder.name
        with lock.folder_lock(Path(str(DATA_DIR.value)).expanduser(), flag="--data_dir", of=part):
            builder.download_and_prepare()
    except InputError as error:
        # The loaders name the flag of a training run.
        raise InputError(str(error).replace("--config.data.", "--")) from error
    for note in builder.notes:
        print(note, file=sys.stderr)
    name = "/".join(filter(None, (builder.name, builder.category)))
    counts = ", ".join(f"{split} {builder.info.splits[split].num_examples}" for split in ("train", "test"))
    print(f"{name}: {counts} pictures in {builder.data_dir}")
    for left in sorted(builder.data_path.parent.glob(f"incomplete.*_{VERSION}")):
        print(f"{left}: of a preparation that was interrupted or still runs; never read, may be deleted if none runs")
    print(f"read it: --config.data.kind=tfds --config.data.root={DATA_DIR.value} --config.data.category={name}")


if __name__ == "__main__":
    entry.run_without_config(main, required=["kind", "data_dir"])
