"""L1. Builders of tensorflow-datasets for what the loaders of `ddad_jax.data` read; records keep the loaders' order."""

import json
import re
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from google.protobuf.json_format import ParseError

from ddad_jax.data.cans import PRODUCTS, cans
from ddad_jax.data.encode import as_files
from ddad_jax.data.folder import mvtec_pictures
from ddad_jax.data.listing import listed
from ddad_jax.data.mtd import mtd_pictures
from ddad_jax.data.names import require_name
from ddad_jax.data.tfds import facts
from ddad_jax.data.tfds.examples import Listing, examples, features, listing_fingerprint, of_files
from ddad_jax.data.tfds.reading import require_whole, unreadable_data_set
from ddad_jax.data.visa import visa_pictures
from ddad_jax.errors import InputError

VERSION = facts.VERSION


class Prepared(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """What the builders share; each says what it lists.

    ``download_and_prepare`` writes into a folder ``incomplete.*`` beside the final one, which gets its name when all
    is written: what an interrupted preparation leaves is never read. Data prepared already are used again if they came
    from the same pictures; others are refused.

    Args:
      root: the folder of the pictures; needed for preparation alone.
      config, data_dir, version: as of every builder of tensorflow-datasets.

    Raises:
      InputError: a configuration that no folder may be called; what was prepared before is damaged;
        (``download_and_prepare``) what the loader of these pictures raises; ``data_dir`` holds the same name made of
        other pictures, or cannot be written.
    """

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "The first."}
    FACTS: ClassVar[facts.Facts]
    ANY_NONZERO: ClassVar[bool] = False
    """Of the masks, as of `ddad_jax.data.read.read_mask`."""
    ORIENT: ClassVar[bool] = True
    """Whether pictures are turned upright, as of `ddad_jax.data.read.read_image`."""

    def __init__(
        self, *, root: str | Path | None = None, config: Any = None, file_format: str = "array_record", **how: Any
    ) -> None:
        self.root = root
        self.notes: tuple[str, ...] = ()  # of what was listed, once it is
        if isinstance(config, str) and config not in self.builder_configs:
            for part in PurePosixPath(config).parts:
                require_name(part, f"category {config!r}", mend="Give the folder of the pictures another name")
            config = tfds.core.BuilderConfig(name=config)
        try:
            super().__init__(config=config, file_format=file_format, **how)
        except (ParseError, json.JSONDecodeError) as error:  # it reads what was prepared before
            raise unreadable_data_set(self.data_path, error) from error

    @property
    def category(self) -> str:
        return self.builder_config.name if self.builder_config else ""

    @abstractmethod
    def listing(self) -> Listing:
        """Everything in the order of the loader."""

    def required_root(self) -> Path:
        if not self.root:
            raise InputError(
                f"{self.name}: root is not set. Pass the folder the pictures were unpacked into: "
                f"tfds.builder({self.name!r}, root=...)."
            )
        return Path(self.root)

    def download_and_prepare(self, **how: Any) -> None:
        listing = self.listing()
        self.notes = listing.notes
        found = {"name": listing.name, "any_nonzero": self.ANY_NONZERO, "pictures": listing_fingerprint(listing)}
        if self.data_path.exists():
            self._require_same(found)
        # Nothing of this lies on Google's servers, where it would be looked for.
        how.setdefault("download_config", tfds.download.DownloadConfig(try_download_gcs=False))
        self.info.metadata.update(found)
        self._listing = listing
        try:
            super().download_and_prepare(**how)
        except (OSError, RuntimeError) as error:  # RuntimeError: what array_record raises when a disk is full
            raise InputError(f"{self.data_dir}: cannot be written ({error}). Choose another data_dir.") from error

    def _require_same(self, found: dict[str, Any]) -> None:
        mend = "Delete that folder, or choose another data_dir."
        if not (self.data_path / "dataset_info.json").exists():
            raise InputError(f"{self.data_dir} is there, but holds no data set (no dataset_info.json). {mend}")
        require_whole(self.data_path)
        if any(self.info.metadata.get(key) != value for key, value in found.items()):
            raise InputError(f"{self.data_dir} was made from other pictures than {self.root or 'these'}. {mend}")

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.FACTS.description,
            homepage=self.FACTS.homepage,
            citation=self.FACTS.citation,
            license=self.FACTS.license,
            features=features(),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in ("train", "test")}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        return examples(getattr(self._listing, split), any_nonzero=self.ANY_NONZERO, orient=self.ORIENT)


def _configs(*names: str) -> list[Any]:
    return [tfds.core.BuilderConfig(name=name) for name in names]


class Folder(Prepared):
    """``ddad_folder/CATEGORY``: any category in the layout of MVTec AD, as `mvtec_folder` reads it.

    Without a category ``root`` holds ``train`` and ``test`` itself.
    """

    name = "ddad_folder"
    FACTS = facts.FOLDER

    def listing(self) -> Listing:
        return of_files(mvtec_pictures(self.required_root(), self.category))


class Mvtec(Prepared):
    """``ddad_mvtec/CATEGORY``: the fifteen categories of MVTec AD as published."""

    name = "ddad_mvtec"
    FACTS = facts.MVTEC
    BUILDER_CONFIGS = _configs(*facts.MVTEC.categories)

    def listing(self) -> Listing:
        if self.category not in self.FACTS.categories:
            raise InputError(
                f"{self.category!r} is no category of MVTec AD: expected one of {listed(self.FACTS.categories)}; "
                "pictures of one's own are ddad_folder."
            )
        return of_files(mvtec_pictures(self.required_root(), self.category))


class Visa(Prepared):
    """``ddad_visa/OBJECT``: the twelve objects of VisA in the one-class split, as `visa` reads them."""

    name = "ddad_visa"
    FACTS = facts.VISA
    BUILDER_CONFIGS = _configs(*facts.VISA.categories)
    ANY_NONZERO = True
    ORIENT = False

    def listing(self) -> Listing:
        return of_files(visa_pictures(self.required_root(), self.category), orient=self.ORIENT)


class Mtd(Prepared):
    """``ddad_mtd/tile_seed_N``: Magnetic Tile Defects as `mtd` draws them by seed N; ``ddad_mtd`` alone is seed 0.

    ``ddad_mtd/seed_N`` is the paper's draw, by picture; it names no tiles, so that what is held out is drawn by
    picture, too.
    """

    name = "ddad_mtd"
    FACTS = facts.MTD
    BUILDER_CONFIGS = _configs("tile_seed_0", "seed_0")
    ORIENT = False

    def listing(self) -> Listing:
        of = re.fullmatch(r"(tile_)?seed_(\d{1,9})", self.category)
        if not of:
            raise InputError(
                f"ddad_mtd/{self.category}: expected ddad_mtd/tile_seed_N, N the seed of the draw, or ddad_mtd/seed_N "
                "for the paper's, by picture."
            )
        split = "tile" if of[1] else "picture"
        pictures = mtd_pictures(self.required_root(), seed=int(of[2]), split=split)
        return of_files(pictures if of[1] else pictures._replace(recordings=()), orient=self.ORIENT)


class Cans(Prepared):
    """``ddad_cans/NAME``: rendered cans; NAME is that of `cans_config`, which says all that they depend on."""

    name = "ddad_cans"
    FACTS = facts.CANS
    BUILDER_CONFIGS = _configs(*(f"{product}_64px" for product in PRODUCTS))

    def listing(self) -> Listing:
        of = re.fullmatch(r"(.+)_(\d{1,5})px(?:_seed(\d{1,9}))?(?:_(\d{1,6})_(\d{1,6})_(\d{1,6}))?", self.category)
        if not of:
            raise InputError(
                f"ddad_cans/{self.category}: expected PRODUCT_SIZEpx, such as {PRODUCTS[0]}_64px, with _seedN and the "
                "counts _TRAIN_GOOD_DEFECT behind it where they are others than usual."
            )
        n_train, n_test_good, n_defect = (int(n or usual) for n, usual in zip(of.groups()[3:], USUAL, strict=True))
        if min(n_train, n_test_good + n_defect) < 1:
            raise InputError(f"ddad_cans/{self.category}: expected at least one can to learn from and one to test on.")
        seed = int(of[3] or 0)
        counts = {"n_train": n_train, "n_test_good": n_test_good, "n_defect": n_defect}
        return of_files(as_files(cans(int(of[2]), product=of[1], seed=seed, **counts)))


USUAL = (300, 60, 60)
"""Cans to learn from, good ones to test on and ones of each defect, where the name of a configuration names none."""


def cans_config(product: str, size: int, seed: int = 0, counts: tuple[int, int, int] = USUAL) -> str:
    """The name of a configuration of ``ddad_cans``: ``winter_melon_64px``, ``coffee_128px_seed3_40_10_10``.

    Args:
      product, size, seed: as of `cans`.
      counts: n_train, n_test_good, n_defect.
    """
    of_counts = "" if counts == USUAL else "_" + "_".join(map(str, counts))
    return f"{product}_{size}px" + (f"_seed{seed}" if seed else "") + of_counts


KINDS: dict[str, type[Prepared]] = {"folder": Folder, "mvtec": Mvtec, "visa": Visa, "mtd": Mtd, "cans": Cans}


def builder_of(
    kind: str,
    data_dir: str | Path,
    *,
    root: str | Path = "",
    category: str = "",
    seed: int = 0,
    size: int = 64,
    counts: tuple[int, int, int] = USUAL,
    split: str = "tile",
) -> Prepared:
    """The builder of a kind, its configuration named from what decides its pictures.

    Args:
      kind: of `KINDS`.
      data_dir: the folder of prepared data sets.
      root: the folder of the pictures, for all but cans.
      category: of folder and mvtec; visa's object; the product of cans.
      seed: of mtd's draw and of cans.
      size, counts: of cans.
      split: of mtd, as of `mtd`.

    Raises:
      InputError: root or category is missing, or not asked for; a category that no folder may be called.
    """
    if kind != "cans" and not root:
        raise InputError(f"root is not set: expected the folder that holds the pictures of {kind}.")
    if kind in ("mvtec", "visa") and not category:
        raise InputError(f"category is not set: expected one of {listed(KINDS[kind].FACTS.categories)}.")
    if kind == "mtd" and category:
        raise InputError(f"category {category!r}: mtd has none.")
    of_mtd = f"seed_{seed}" if split == "picture" else f"{split}_seed_{seed}"
    named = {"mtd": of_mtd, "cans": cans_config(category or PRODUCTS[0], size, seed, counts)}
    return KINDS[kind](root=root or None, config=named.get(kind, category) or None, data_dir=data_dir)
