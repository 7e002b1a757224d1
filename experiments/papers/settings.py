"""The settings of a row of the paper: a data set, a category and a size, before a table changes anything."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from ddad_jax.data.listing import listed
from ddad_jax.errors import InputError
from experiments.config import base, reference
from experiments.configs import folder, mtd, mvtec, visa
from experiments.configs.paper_settings import MVTEC, VISA

OFFLINE = "efficientnet_lite0"
"""The feature network that needs no download."""

PAPERS = "wide_resnet101_2"


class DataOf(NamedTuple):
    """name: of the data set, as one finds it. layout: of its folder. categories: those the paper has settings for."""

    name: str
    layout: str
    categories: tuple[str, ...]


DATA = {
    "mvtec": DataOf("MVTec AD", "ROOT/bottle/train/good/*.png, ROOT/bottle/test/..., ROOT/carpet/...", tuple(MVTEC)),
    "visa": DataOf("VisA", "ROOT/split_csv/1cls.csv, ROOT/candle/Data/..., or as MVTec AD", tuple(VISA)),
    "mtd": DataOf("Magnetic Tile Defects (MTD)", "ROOT/MT_Free/Imgs/*.jpg, ROOT/MT_Blowhole/Imgs/...", ("mtd",)),
}


class Named(NamedTuple):
    """What a row is of. published: in the published code's behaviour; small: DDAD-S."""

    data: str
    category: str
    small: bool = False
    published: bool = False


def category_config(named: Named, size: str, root: str = "") -> ConfigDict:
    """One category at one size: its own point, nothing swept, nothing chosen.

    Raises:
      InputError: an unknown size.
    """
    if size not in SIZES:
        raise InputError(f"--size={size}: expected {' or '.join(SIZES)}")
    c = SIZES[size](named)
    with c.unlocked():
        c.select, c.teacher = "", 0
        for name in c.sweep:
            if name not in ("parts", "seed"):
                c.sweep[name] = ()
        c.sweep.parts = ConfigDict()
        c.data.update(kind=_kind(named.data, root), root=root)
        c.data.category = "" if named.data == "mtd" else named.category
        if named.data == "mtd":
            # The paper's rule, by which most tiles are both learnt from and tested on: ``ddad_jax.data.mtd``.
            c.data.update(split="picture", hold_out="picture")
        # The paper's sampler, whatever the size: DDIM with noise from T' = 250.
        c.sample.update(t_prime=250, steps=10, eta=1.0, solver="ddim", start_noise=1.0)
    return c


def known(named: Named) -> bool:
    """Whether the paper has settings of this category's own, which were picked with test labels in view."""
    return named.data != "mtd" and named.category in DATA[named.data].categories


def present(data: str, root: Path) -> list[str]:
    """The categories that a root holds, sorted; the paper's before others.

    Raises:
      InputError: it is no folder, or not one of this data set.
    """
    of = DATA[data]
    if not root.is_dir():
        raise InputError(f"--data={root}: is no folder; expected the root of {of.name}: {of.layout}")
    if data == "mtd":
        if not (root / "MT_Free").is_dir():
            raise InputError(f"--data={root}: has no folder MT_Free; expected {of.name}: {of.layout}")
        return ["mtd"]
    inside = "Data" if _kind(data, str(root)) == "visa" else "train"
    found = sorted(p.name for p in root.iterdir() if (p / inside).is_dir())
    if not found:
        raise InputError(f"--data={root}: holds no category; expected the root of {of.name}: {of.layout}")
    return sorted(found, key=lambda name: (name not in of.categories, name))


def chosen(data: str, root: Path, asked: list[str]) -> list[str]:
    """The categories to run, each once: those asked for, or all of the paper's that are there.

    Raises:
      InputError: as ``present``; one that is not there; nothing asked for and none of the paper's is there.
    """
    there = present(data, root)
    if missing := [name for name in asked if name not in there]:
        raise InputError(f"--categories: {root} has no {listed(missing)}; it has {listed(there)}")
    own = [name for name in there if name in DATA[data].categories]
    if not asked and not own:
        raise InputError(
            f"--data={root}: none of its categories ({listed(there)}) is one of {DATA[data].name}. To fill the table's "
            f"shape with them, name them: --categories={','.join(there[:2])}"
        )
    return list(dict.fromkeys(asked)) or own


def _kind(data: str, root: str) -> str:
    if data == "visa" and root and not (Path(root) / "split_csv").is_dir():
        return "folder"  # converted to the layout of MVTec AD, or another set in the place of VisA
    return {"mvtec": "folder"}.get(data, data)


def _cpu(named: Named) -> ConfigDict:
    """The small networks of folder.py and mtd.py; DDAD-S has half their width."""
    c = mtd.get_config() if named.data == "mtd" else folder.get_config()
    with c.unlocked():
        c.adapt.lambda_dl = 0.01 if named.data == "visa" else 0.1
        c.model.base //= 2 if named.small else 1
    return c


def _gpu(named: Named) -> ConfigDict:
    """The paper's settings of a category; of others its network, T', steps and v."""
    words = [named.category, *(["s"] if named.small else []), *(["reference"] if named.published else [])]
    if known(named):
        return (visa if named.data == "visa" else mvtec).get_config(",".join(words))
    c = mtd.get_config("gpu") if named.data == "mtd" else base()
    with c.unlocked():
        c.model.update(base=32 if named.small else 64, heads=2 if named.small else 4)
        c.backbone.name = PAPERS
        c.train.batch_size = 16 if named.small else 32
        c.score.v = 7.0 if named.data == "visa" else 1.0
        c.adapt.lambda_dl = 0.01 if named.data == "visa" else 0.1
    return _published(c, small=named.small) if named.published else c


def _published(c: ConfigDict, *, small: bool) -> ConfigDict:
    c = reference(c)
    with c.unlocked():
        if small:
            c.model.update(base=32, heads=2, dropout=0.3)
            c.train.batch_size = 16
    return c


SIZES: dict[str, Callable[[Named], ConfigDict]] = {"cpu": _cpu, "gpu": _gpu}
"""``--size`` -> the settings of a category before the sampler is the paper's."""
