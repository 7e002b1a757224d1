"""What config files begin from, of ``experiments/configs`` or a user's own: ``base()``, ``reference(c)``; and of
comparisons, ``comparison()``."""

import functools
from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from ddad_jax.engine.comparison.plan import Comparison, dotted
from ddad_jax.engine.methods.settings import FIRST, of_method, settings_from
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.errors import InputError


def base(method: str = FIRST) -> ConfigDict:
    """Every setting that a run of the method has, by default; config files change what they need.

    Raises:
      InputError: there is no such method.
    """
    return ConfigDict(of_method(method).settings().to_dict()).lock()


def comparison(methods: Mapping[str, Any], data: Mapping[str, Any], **more: Any) -> ConfigDict:
    """What a file of ``experiments.compare`` gives back.

    Args:
      methods: name -> {"config": of an ordinary run, as --config takes it; "settings": in the place of its own, by
        section; "published_as": in the paper whose numbers stand beside; "note": in its row}; all but the first may be
        missing, and a config alone may stand for them.
      data: name -> {"settings": alike, "group": of data sets whose means stand beside each other}.
      more: as of ``Comparison``: seeds, settings of all runs, power, pictures, margin, paper. A method's settings go
        before those of its data, and these before those of all.

    Its settings, those of each method and those of each data set have a place for every setting of every method, None
    where the file says nothing, so that each can be given on the command line.
    """
    usual = Comparison((), ())
    known = {name: _open({"config": one} if isinstance(one, str) else one) for name, one in methods.items()}
    given = _open({**usual._asdict(), **more})
    given["power"] = {**usual.power._asdict(), **more.get("power", {})}
    # In the order given, which is that of the runs; others sort their names.
    sets = {name: _open(one) for name, one in data.items()}
    in_order = {"methods": ConfigDict(known, sort_keys=False), "data": ConfigDict(sets, sort_keys=False)}
    return ConfigDict({**given, **in_order}).lock()


def _open(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with a place for every setting that it does not give."""
    settings: dict[str, Any] = {
        name: dict(section) if isinstance(section, Mapping) else section
        for name, section in entry.get("settings", {}).items()
    }
    for name, kind in _kinds():
        section, _, setting = name.rpartition(".")
        if isinstance(place := settings.setdefault(section, {}) if section else settings, dict):
            place.setdefault(setting, placeholder(kind))
    return {**entry, "settings": settings}


@functools.cache
def _kinds() -> tuple[tuple[str, type], ...]:
    """(dotted name, type) of the settings of all methods; those of one name are of one type."""
    usual = {name: value for method in METHODS.values() for name, value in dotted(method.settings().to_dict()).items()}
    return tuple((name, type(value)) for name, value in usual.items())


def engine_settings(c: ConfigDict, given: Collection[str] = ()) -> Any:
    """The settings of a config as the engine takes them: typed, and of the method that it names.

    given: dotted names of the settings that a user set beside the config's file.

    Raises:
      InputError: naming the first flag whose value cannot be used.
    """
    return check_settings(settings_from(c.to_dict()), given)


def for_accelerator(c: ConfigDict) -> ConfigDict:
    """``c`` for a GPU or TPU: its networks compute in bfloat16. Said here, and not settled by the device that a run
    happens to find, so that a config means the same numbers everywhere and config.json says which.

    Deviation: published float32. What it does to maps and scores: ``experiments.benchmark --what=drift``.
    """
    with c.unlocked():
        c.model.dtype = c.backbone.dtype = "bfloat16"
    return c


def reference(c: ConfigDict) -> ConfigDict:
    """Turn ``c`` into what the published code of its method does, quirks included; the caller keeps data and category.

    Deviation: a few normal images are still held out (validation loss, contrast, thresholds); the published code
      learns from all of them and validates on none.

    Raises:
      InputError: of this method there is no such behaviour.
    """
    if c.method not in _REFERENCES:
        raise InputError(
            f"--config.method={c.method!r}: nothing says what its published code does; expected one of "
            f"{', '.join(_REFERENCES)}"
        )
    with c.unlocked():
        _REFERENCES[c.method](c)
        c.select = ""
    return c


def _memory_reference(c: ConfigDict) -> None:
    """Of PatchCore and PaDiM.

    Deviation: pictures are brought to 224 px whole; published, to 256 px, of which the network sees the middle.
    """
    c.data.update(size=224, held_out=0.02)
    c.backbone.update(name="wide_resnet50_2", feature_size=0)
    # In pixels of a 256 px picture: 4 at this size.
    c.score.update(sigma=4.0 * 256 / 224, repeat_edge=True, standardise=False, mask_after=False, crop=0)


def _patchcore_reference(c: ConfigDict) -> None:
    _memory_reference(c)
    c.patchcore.update(layers=("layer2", "layer3"), patch=3, width=1024, share=0.1, most=2**17)
    c.patchcore.update(start="starts", projection=128)
    c.score.update(neighbours=1, support=1, squared=True)


def _padim_reference(c: ConfigDict) -> None:
    _memory_reference(c)
    c.padim.update(layers=("layer1", "layer2", "layer3"), embedding="positions", channels=550, regularisation=0.01)
    c.sweep.seed = (1024,)


def _draem_reference(c: ConfigDict) -> None:
    """
    Deviation: pictures are drawn without replacement, published with; they are shrunk with antialiasing and stay red,
      green, blue; a texture is changed in eight ways, not ten; textures are procedural unless ``damage.textures`` names
      DTD's folder. Steps are those of 700 epochs of 300 pictures.
    """
    c.data.update(size=256, held_out=0.02, flips="")
    c.model.update(reconstructive=128, discriminative=64, patch=1, dtype="float32")
    c.damage.update(perlin=0.5, cutout=0.0, turned=0.3)
    c.train.update(steps=26_250, max_minutes=0.0, batch_size=8, learning_rate=1e-4, weight_decay=0.0, warmup_steps=0)
    c.train.update(clip_norm=0.0, accumulate=1, ema_decay=0.0, drop_at=(0.8, 0.9), drop=0.2, ssim_range="batch")
    c.draem.mirrored = ""
    c.score.update(window=21, sigma=0.0, standardise=False, mask_after=False, crop=0)


def _riad_reference(c: ConfigDict) -> None:
    """Deviation: steps are those of the 300 epochs of 240 pictures that the published code makes at most; it ends 20
    epochs behind the lowest validation loss and takes that epoch, with cells of one side drawn for each batch, so that
    the luckiest one wins. Masks are the same for all pictures; published drawn anew for every batch.
    """
    c.data.update(size=256, held_out=0.2, flips="")
    c.model.update(widths=(64, 128, 256, 512, 512), cells=(2, 4, 8, 16), scales=4, span=1.0, dtype="float32")
    c.train.update(steps=18_000, max_minutes=0.0, batch_size=4, learning_rate=1e-4, weight_decay=1e-5, warmup_steps=0)
    c.train.update(clip_norm=0.0, accumulate=1, ema_decay=0.0, drop_at=(5 / 6,), drop=0.1, together=False)
    c.riad.update(draws=1, weights="area")
    c.score.update(sigma=7.0, repeat_edge=True, standardise=False, mask_after=False, crop=0)


def _diffusionad_reference(c: ConfigDict) -> None:
    """Of DiffusionAD.

    Deviation: damage lies on what ``synthetic.shapes.object_map`` takes for the object, where the published code has
      masks of a foreign network; textures are procedural unless ``damage.textures`` names DTD's folder. Steps are those
      of 3000 epochs of 270 pictures. Half of the damage is the picture's own, as for objects; for textures, such as
      carpet, the published code has foreign ones alone (``damage.own`` 0).
    """
    c.model.update(base=128, channel_mult=(), res_blocks=2, attention_sizes=(32, 16, 8), heads=4, patch=1, groups=32)
    c.model.update(segmentation=64, dtype="float32")
    c.data.update(size=256, held_out=0.02)
    c.damage.update(share=0.5, own=0.5, foreground="object")
    c.train.update(batch_size=16, learning_rate=1e-4, weight_decay=0.0, warmup_steps=0, clip_norm=0.0, ema_decay=0.0)
    c.train.update(steps=50_000, max_minutes=0.0, accumulate=1, t_split=300, marks=0.1, swing=10)
    c.diffusionad.update(w=1.0, t=200, t_noisier=400, draws=1)
    c.score.update(top=50, sigma=0.0, standardise=False, mask_after=False, crop=0)


def _diffad_reference(c: ConfigDict) -> None:
    """Of DiffAD.

    Deviation: the autoencoder learns by absolute error and SSIM, where the published one has features of a foreign
      network and, from step 50,001 on, an adversary, and by Adam's usual moments, published (0.5, 0.9); the noise
      predictor's decay is none, published decoupled, 0.01; the marks learn beside its average, published beside its
      last weights; textures are procedural unless ``damage.textures`` names DTD's folder. Steps are those of 270
      pictures: 4000 epochs of the noise predictor, 700 of the marks, and 50,000 of the autoencoder.
    """
    c.data.update(size=256, held_out=0.02, flips="")
    c.model.update(autoencoder=128, autoencoder_mult=(1, 2, 4, 4), autoencoder_blocks=2, channels=4, unet=256)
    c.model.update(unet_mult=(1, 2, 4), unet_blocks=2, head_channels=32, discriminative=64, dtype="float32")
    c.damage.update(perlin=0.5, cutout=0.0, turned=0.3)
    plain = {"weight_decay": 0.0, "warmup_steps": 0, "clip_norm": 0.0, "max_minutes": 0.0}
    c.autoencoder.update(batch_size=8, accumulate=2, learning_rate=7.2e-5, dropout=0.5, ema_decay=0.0, **plain)
    c.autoencoder.steps = 50_000
    c.latent.update(steps=33_750, batch_size=32, learning_rate=6.4e-5, ema_decay=0.9999, normalise=False, **plain)
    c.train.update(steps=5_900, batch_size=32, learning_rate=1e-3, drop_at=(0.8, 0.9), drop=0.2, ema_decay=0.0, **plain)
    c.train.update(sampling_steps=50, sampling_solver="ddim", sampling_grid="published")
    c.diffad.update(steps=10, solver="ddim", grid="published", eta=0.0, condition_time=0, share=0.5, draws=1)
    c.score.update(window=21, sigma=0.0, standardise=False, mask_after=False, crop=0)


def _ddad_reference(c: ConfigDict) -> None:
    c.model.dtype = c.backbone.dtype = "float32"
    c.model.update(base=64, heads=4, dropout=0.0, patch=1, predict="eps", groups=32, channel_mult=(), res_blocks=2)
    c.model.noise = "gaussian"
    c.train.update(batch_size=32, weight_decay=0.05, reduce="sum", error="noise", warmup_steps=0, clip_norm=0.0)
    c.train.update(accumulate=1, ema_decay=0.0, min_snr=0.0, t_max=1000, learning_rate=3e-4)
    c.backbone.update(name="wide_resnet101_2", feature_size=0)
    c.data.held_out = 0.02
    c.adapt.update(batch_norm="train", patience=0, choose="last", pairs="other", least_share=0.0)
    c.sample.update(grid="reference", clip=False, solver="ddim", start_noise=1.0, fade=1.0, blend_max=0.0)
    c.sample.update(model="teacher", rise=0.0, reuse=1, mask_before=False, start="noise", draws=1)
    c.sample.update(
        scoring="reconstruction", squared=False, blend_low=0, blend_high=999, last_blend=0.0, total_blend=0.0
    )
    c.score.update(normalise="batch", crop=224, sigma=4.0, standardise=False, mask_after=False)
    c.score.update(feature_weight=1.0, upsampling="align_corners")


_REFERENCES = {
    "ddad": _ddad_reference,
    "patchcore": _patchcore_reference,
    "padim": _padim_reference,
    "draem": _draem_reference,
    "riad": _riad_reference,
    "diffusionad": _diffusionad_reference,
    "diffad": _diffad_reference,
}
