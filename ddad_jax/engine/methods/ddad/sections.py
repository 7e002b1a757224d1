"""The settings of DDAD: its noise predictor and student, adaptation, sampler, score, and what a sweep tries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ddad_jax.distance import UPSAMPLING
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.sections import LABEL_FREE, SEED, ScoreSettings, Settings, SweepSettings
from ddad_jax.engine.settings.setting import (
    BOOL,
    COUNT,
    DTYPE,
    LAYERS,
    LONGEST_SIDE,
    MINUTES,
    MOST_WEIGHT,
    TEXT,
    above,
    below_one,
    is_real,
    is_whole,
    none_or_more,
    number,
    one_of,
    parts,
    range_of,
    setting,
    span,
    swept,
    tuple_of,
    whole_number,
)
from ddad_jax.engine.settings.training import BATCH, DECAY, DeviceSettings, TrainingSettings
from ddad_jax.gaussian_prior import RANK, SHARE
from ddad_jax.points import MODELS, OPTIMISED, SCORINGS
from ddad_jax.sampler import STARTS
from ddad_jax.simplex import OCTAVES, PERSISTENCE, WAVELENGTH
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS
from ddad_jax.unet import PREDICTIONS

_PART = number(0, 1, "a share from 0 to 1")
_TIME = whole_number(1, 999)
_W = number(0, expected="a finite number, 0 (no conditioning) or more")
_ETA = number(0, 1, "a number from 0 (deterministic) to 1 (DDPM variance)")
_GRID = one_of(*sorted((*GRIDS, OPTIMISED)))
_FORMULA = one_of(*sorted(GRIDS))
_SOLVER = one_of(*sorted(SOLVERS))
_START_NOISE = number(0, expected="0 (the scaled picture) or more, published 1")
_FADE = number(0, expected="0 (a constant blend) or more, published 1")
_BLEND_MAX = number(0, expected="0 (no limit) or more, 1 to end at the target")
_WEIGHT = number(0, MOST_WEIGHT)
_DROPOUT = below_one("0 up to below 1")
_MIN_SNR = number(0, expected="0 (off) or above, usually 5")
_LAMBDA = number(0, expected="finite, 0 or more")
_MULTIPLIERS = tuple_of(above(0, 1024), most=16)
_SIDES = tuple_of(above(0, expected="the side of a feature map in pixels"))
_ANY_TIME = whole_number(0, 999)
_TOTAL_BLEND = below_one("0 (w as it is) up to below 1")
_LAST_BLEND = number(0, 1e6, "0 (w as it is) or more, such as 0.1")
_RISE = number(0, expected="a finite number, 0 (one T' for all pictures) or more")
_REUSE = whole_number(1, expected="1 (every layer at every step) or more steps")
# Wider than the picture it belongs to, a blur leaves one value, and its kernel outgrows the memory.
_SIGMA = number(0, 256, "0 (no blur) to 256, in pixels of a picture of 256")


@dataclass(frozen=True)
class ModelSettings(Section):
    """The U-Net."""

    base: int = setting(32, whole_number(1, LONGEST_SIDE), "channels of the first level; 64 DDAD, 32 DDAD-S")
    channel_mult: tuple[float, ...] = setting((), _MULTIPLIERS, "a level; empty: the published table for the size")
    res_blocks: int = setting(2, whole_number(1, 64), "a level, one more on the way up")
    attention_sizes: tuple[int, ...] = setting((32, 16, 8), _SIDES, "of feature maps, in pixels, that have attention")
    heads: int = setting(2, whole_number(1, LONGEST_SIDE), "of attention; 4 DDAD, 2 DDAD-S")
    dropout: float = setting(0.0, _DROPOUT, "in every block; published 0 for DDAD, 0.3 for DDAD-S")
    patch: int = setting(
        1, whole_number(1, LONGEST_SIDE), "side of the squares of pixels that become channels; published 1"
    )
    predict: str = setting(
        "eps", one_of(*PREDICTIONS),
        '| "x0": for small networks and short trainings; "v"; "edm": preconditioned; published eps',
    )  # fmt: skip
    sigma_data: float = setting(0.5, above(0, 100), "standard deviation of pictures, for predict = edm")
    prior: str = setting(
        "none", one_of("none", "gaussian"),
        "| gaussian: the network adds to what a Gaussian of the training pictures predicts, and with train.steps = 0 "
        "that predicts alone; published none",
    )  # fmt: skip
    rank: int = setting(RANK, whole_number(1, 2**12), "directions in which that Gaussian has a variance of their own")
    share: float = setting(SHARE, above(0, 1e3), "of its mean variance, added to every variance")
    noise: str = setting(
        "gaussian", one_of("gaussian", "simplex", "simplex_published"),
        "white; | simplex: of several wavelengths, as AnoDDPM; | simplex_published: with a variance that is not 1",
    )  # fmt: skip
    wavelength: float = setting(
        WAVELENGTH, above(0, 2**16), "longest of simplex noise, in pixels of a 256 px image; scaled with the size"
    )
    octaves: int = setting(OCTAVES, whole_number(1, 16), "wavelengths of it, each half the one before")
    persistence: float = setting(PERSISTENCE, above(0, 1e3), "ratio of the amplitudes of neighbouring ones")
    groups: int = setting(
        32, whole_number(1, 2**16), "of normalisations; as many as channels loses the time; published 32"
    )
    dtype: str = setting(
        "float32", DTYPE,
        "| bfloat16, for GPUs and TPUs: of the network's inside; parameters, times, statistics and the last layer stay "
        "float32",
    )  # fmt: skip


@dataclass(frozen=True)
class TrainSettings(TrainingSettings):
    """The training of the noise predictor."""

    steps: int = setting(20_000, none_or_more("the Gaussian of model.prior alone"), "batches")
    reduce: str = setting("mean", one_of("mean", "sum"), "| sum, over pixels and channels; published sum")
    t_max: int = setting(1000, whole_number(1, 1000, "1 to 1000"), "trains at times below this; published 1000")
    error: str = setting(
        "noise",
        one_of("noise", "output"),
        "| output: of what the network puts out, as usual for v and edm; published noise",
    )
    min_snr: float = setting(0.0, _MIN_SNR, "5: weight by min(SNR, 5) / SNR, for short trainings; published 0")


@dataclass(frozen=True)
class StudentSettings(TrainingSettings):
    """The student of ``python -m experiments.distil``; a sweep or a point with model = student trains it where it is
    missing. It may be asked for any w and T' of these ranges, in 1 to `calls` calls at the times of `grid`."""

    steps: int = setting(4000, COUNT, "batches")
    weight_decay: float = setting(0.0, DECAY, "L2 coupled to the gradient")
    warmup_steps: int = setting(100, none_or_more("no warm-up"), "of a rate that rises from 0")
    w: tuple[float, float] = setting((0.0, 6.0), span(is_real, 0, 1e6, "from 0 to 1e6"), "it may be asked for")
    t_prime: tuple[int, int] = setting((100, 300), span(is_whole, 1, 999, "from 1 to 999"), "it may be asked for")
    calls: int = setting(2, whole_number(1, 2, "1 or 2"), "at most so many a reconstruction")
    grid: str = setting("trailing", _FORMULA, "of the times it is called at")
    start_noise: float = setting(1.0, _START_NOISE, "as in sample, like the next two: it is asked with them alone")
    fade: float = setting(1.0, _FADE, "as in sample")
    blend_max: float = setting(0.0, _BLEND_MAX, "as in sample")
    teacher_solver: str = setting("dpm2m", _SOLVER, "of the run that it learns to shorten; as sample.solver")
    teacher_steps: int = setting(20, _TIME, "of that run")
    teacher_grid: str = setting("log_snr_continuous", _FORMULA, "of that run's times")
    defects: int = setting(512, COUNT, "about so many synthetic defects are painted on the training pictures")
    damaged: float = setting(0.5, _PART, "share of a batch that shows them; the teacher's answer is the target, too")
    paired: float = setting(0.25, _PART, "share whose target y is another picture, as in adaptation")
    relative: bool = setting(True, BOOL, "errors in units of the teacher's own in one call: every w counts alike")
    reuse: int = setting(4, COUNT, "updates that use each of the teacher's answers")


@dataclass(frozen=True)
class AdaptSettings(Section):
    """The adaptation of the feature extractor to the pictures."""

    epochs: int = setting(8, none_or_more("no adaptation"), "0: no adaptation")
    max_minutes: float = setting(0.0, MINUTES, "0: no limit")
    patience: int = setting(3, none_or_more("run all epochs"), "epochs without a higher contrast before stopping")
    batch_size: int = setting(8, whole_number(1, 2**20, "at least 1 pair"), "pairs")
    learning_rate: float = setting(1e-4, above(0), "of AdamW")
    weight_decay: float = setting(0.01, DECAY, "of AdamW")
    lambda_dl: float = setting(0.1, _LAMBDA, "weight of the distillation loss; published 0.1 MVTec AD, 0.01 VisA")
    batch_norm: str = setting("frozen", one_of("frozen", "train"), "| train: by batch statistics, as published")
    pairs: str = setting(
        "other", one_of("other", "self"),
        "| self: a picture is compared with its own reconstruction at the point of sample, as when it is scored; "
        "other, as published: with another picture's, led towards it as w, t_prime, steps and eta say",
    )  # fmt: skip
    least_share: float = setting(
        0.8, _PART, "of its target that such a reconstruction must show of the two pictures; 0: it is not asked for"
    )
    w: float = setting(
        3.0, _W, "this and the next three, of pairs = other: its reconstruction; published 3, 250, 10, 1"
    )
    t_prime: int = setting(250, _TIME, "of their reconstruction")
    steps: int = setting(10, _TIME, "of their reconstruction")
    eta: float = setting(1.0, _ETA, "of their reconstruction")
    choose: str = setting(
        "contrast", one_of("contrast", "synthetic", "last"),
        "contrast: the epoch of the highest contrast; synthetic: the one with which the point of sample and score "
        "finds synthetic defects best; last: as published, where a person chose it",
    )  # fmt: skip


@dataclass(frozen=True)
class SampleSettings(Section):
    """The point a verdict uses."""

    origin: str = setting(LABEL_FREE, TEXT, "how its values were come by, as the report says it")
    scoring: str = setting(
        "reconstruction", one_of(*SCORINGS),
        "distance to the reconstruction, as DDAD; | inversion: length of the noise that a picture is led to in so "
        "many steps, as InversionAD; | resilience: how much of a little noise the network does not see, at t_prime, as "
        "Score-PR; these two look at no features",
    )  # fmt: skip
    w: float = setting(3.0, _W, "how far a reconstruction is led towards the picture; 0: not at all")
    t_prime: int = setting(
        250, _TIME,
        "T', the time at which a reconstruction begins, an inversion ends, resilience is measured (published 5)",
    )  # fmt: skip
    steps: int = setting(10, _TIME, "of a reconstruction, or of an inversion, published 3")
    eta: float = setting(1.0, _ETA, "of the noise of a step: 0 DDIM, 1 DDPM")
    grid: str = setting("trailing", _GRID, "a name of ddad_jax/timesteps.py, or optimised, as section grid says")
    solver: str = setting("ddim", _SOLVER, "a name of ddad_jax/solvers; eta is 0 for those without noise of their own")
    start_noise: float = setting(1.0, _START_NOISE, "0: begin at the scaled picture, without noise; published 1")
    fade: float = setting(1.0, _FADE, "the blend towards the target is w (1 - alpha_bar)^fade; published 1")
    blend_max: float = setting(0.0, _BLEND_MAX, "and at most this; 1 ends at the target, 0: no limit, as published")
    model: str = setting(
        "teacher", one_of(*MODELS),
        "| student: with 1 or 2 steps; grid, start_noise, fade and blend_max are then its own",
    )  # fmt: skip
    rise: float = setting(
        0.0, _RISE,
        "T' of a picture is up to (1 + rise) times as late, the more unusual a first call finds it",
    )  # fmt: skip
    reuse: int = setting(
        1, _REUSE,
        "2: at every second step the network's deep layers are those of the step before; published 1",
    )  # fmt: skip
    start: str = setting(
        "noise", one_of(*STARTS), "| inversion: where the flow leads from the picture; published noise"
    )
    draws: int = setting(
        1, whole_number(1, 1024),
        "of the noise, over which the map is a mean; published 1, 3 of resilience, which takes each with both signs",
    )  # fmt: skip
    blend_low: int = setting(0, _ANY_TIME, "the blend acts at times from this")
    blend_high: int = setting(999, _ANY_TIME, "to this; published at all")
    last_blend: float = setting(
        0.0, _LAST_BLEND,
        "above 0: w is such that the blend of the last step is this, whatever the steps; published 0",
    )  # fmt: skip
    total_blend: float = setting(0.0, _TOTAL_BLEND, "the same of all steps together, 1 - prod (1 - blend)")
    mask_before: bool = setting(False, BOOL, "distances see nothing of what the view's mask leaves out")
    squared: bool = setting(False, BOOL, "differences of pixels count by their squares, as in AnoDDPM; published False")
    clip: bool = setting(True, BOOL, "predictions of the clean picture stay in [-1, 1]")
    batch_size: int = setting(16, BATCH, "(point, image) pairs in one call")


@dataclass(frozen=True)
class DistanceScoreSettings(ScoreSettings):
    """From the distances of a picture and its reconstruction to a map, and to the picture's score."""

    v: float = setting(1.0, _WEIGHT, "weight of the pixel distance against that of features")
    layers: tuple[str, ...] = setting(("layer2", "layer3"), LAYERS, "of the backbone, whose features are compared")
    sigma: float = setting(4.0, _SIGMA, "of the blur, in pixels of a 256 px image; scaled with the size")
    feature_weight: float = setting(1.0, _WEIGHT, "of the feature term; 0: the map is of pixels alone; published 1")
    upsampling: str = setting(
        "half_pixel", one_of(*sorted(UPSAMPLING)),
        "| align_corners (published), which moves what is at the border outwards by up to half a stride",
    )  # fmt: skip
    normalise: str = setting("held_out", one_of("held_out", "batch"), "| batch (published: whole test set maxima)")
    batch: int = setting(16, COUNT, "images a batch when normalise = batch")


@dataclass(frozen=True)
class GridSettings(Section):
    """Times found for the trained model where sample.grid or sweep.grid is "optimised", for each T', steps and solver,
    at the w, start and blend of sample: every other w of a sweep shares them. Kept in grids.json of the workdir.
    Adaptation has a T' and steps of its own and uses the trailing grid then."""

    images: int = setting(8, COUNT, "held-out normal pictures they are found on")
    teacher_steps: int = setting(
        100, _TIME, "of the fine run that K steps come close to; so many times, evenly, are candidates"
    )
    teacher_solver: str = setting("dpm2m", _SOLVER, "of that run, as in the rows' teacher_rmse; as sample.solver")
    teacher_grid: str = setting("log_snr_continuous", _FORMULA, "of the times of that run")
    rounds: int = setting(3, none_or_more("none"), "of coordinate descent behind the dynamic programming")


_RECONSTRUCTION = ("w", "t_prime", "steps", "eta", "grid", "solver", "start_noise", "fade", "blend_max", "model",
                   "rise", "reuse", "mask_before", "start", "draws", "blend_low", "blend_high",
                   "last_blend", "total_blend", "scoring", "squared")  # fmt: skip
_PARTS = {name: tuple_of(range_of(SampleSettings, name)) for name in _RECONSTRUCTION} | {"seed": tuple_of(SEED)}


@dataclass(frozen=True)
class DDADSweepSettings(SweepSettings):
    """What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    alone. parts: more sweeps, each a section of some of these names, that take the point's values for the rest."""

    parts: Mapping[str, Mapping[str, tuple[Any, ...]]] = setting({}, parts(_PARTS), "more sweeps, each by its name")
    w: tuple[float, ...] = swept(SampleSettings, "w")
    t_prime: tuple[int, ...] = swept(SampleSettings, "t_prime")
    steps: tuple[int, ...] = swept(SampleSettings, "steps")
    eta: tuple[float, ...] = swept(SampleSettings, "eta")
    grid: tuple[str, ...] = swept(SampleSettings, "grid")
    solver: tuple[str, ...] = swept(SampleSettings, "solver")
    start_noise: tuple[float, ...] = swept(SampleSettings, "start_noise")
    fade: tuple[float, ...] = swept(SampleSettings, "fade")
    blend_max: tuple[float, ...] = swept(SampleSettings, "blend_max")
    model: tuple[str, ...] = swept(
        SampleSettings, "model", '("teacher", "student"): the student takes those of the steps that it has calls for'
    )
    rise: tuple[float, ...] = swept(SampleSettings, "rise")
    reuse: tuple[int, ...] = swept(SampleSettings, "reuse")
    mask_before: tuple[bool, ...] = swept(SampleSettings, "mask_before")
    start: tuple[str, ...] = swept(SampleSettings, "start")
    draws: tuple[int, ...] = swept(SampleSettings, "draws")
    blend_low: tuple[int, ...] = swept(SampleSettings, "blend_low")
    blend_high: tuple[int, ...] = swept(SampleSettings, "blend_high")
    last_blend: tuple[float, ...] = swept(SampleSettings, "last_blend")
    total_blend: tuple[float, ...] = swept(SampleSettings, "total_blend")
    scoring: tuple[str, ...] = swept(SampleSettings, "scoring")
    squared: tuple[bool, ...] = swept(SampleSettings, "squared")
    v: tuple[float, ...] = swept(DistanceScoreSettings, "v")
    layers: tuple[tuple[str, ...], ...] = swept(DistanceScoreSettings, "layers")
    sigma: tuple[float, ...] = swept(DistanceScoreSettings, "sigma")
    feature_weight: tuple[float, ...] = swept(DistanceScoreSettings, "feature_weight")
    upsampling: tuple[str, ...] = swept(DistanceScoreSettings, "upsampling")


@dataclass(frozen=True)
class DDADSettings(Settings):
    """Defaults a careful engineer would ship, at the papers' size (256 px, DDAD-S)."""

    method: str = setting("ddad", TEXT, "what is learnt, and what it measures; the sections of a config are its own")
    teacher: int = setting(
        0, whole_number(0, 1000, "0 (none) to 1000"),
        "steps of a fine teacher whose distance every row then has (teacher_rmse); 0: none; 100 for studies",
    )  # fmt: skip
    teacher_images: int = setting(64, COUNT, "test pictures that distance is measured on at most, spread over them")
    model: ModelSettings = ModelSettings()
    device: DeviceSettings = DeviceSettings()
    train: TrainSettings = TrainSettings()
    student: StudentSettings = StudentSettings()
    adapt: AdaptSettings = AdaptSettings()
    sample: SampleSettings = SampleSettings()
    score: DistanceScoreSettings = DistanceScoreSettings()
    grid: GridSettings = GridSettings()
    sweep: DDADSweepSettings = DDADSweepSettings()

    @property
    def scorings(self) -> set[str]:
        """Of all points that the config names."""
        of_parts = [value for part in self.sweep.parts.values() for value in part.get("scoring", ())]
        return {self.sample.scoring, *self.sweep.scoring, *of_parts}

    @property
    def adapts(self) -> bool:
        """Whether the extractor is adapted: not where no point looks at features."""
        return bool(self.adapt.epochs) and "reconstruction" in self.scorings

    @property
    def tunes(self) -> bool:
        """Also the epoch of adaptation, or when it ends, and optimised times."""
        epoch = self.adapts and (self.adapt.choose != "last" or bool(self.adapt.patience))
        grids = [self.sample.grid, *self.sweep.grid]
        for part in self.sweep.parts.values():
            grids += part.get("grid", ())
        return super().tunes or epoch or OPTIMISED in grids
