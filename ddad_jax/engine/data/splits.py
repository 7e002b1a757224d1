"""From a config to its data, networks and key: the pieces every entry point puts together."""

import logging
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from ddad_jax.data import DataSet, ImageSet
from ddad_jax.data.load import Pictures, data_set
from ddad_jax.data.split import balanced, hold_out, split_held_out, spread, subset
from ddad_jax.data.suspicious import suspicious
from ddad_jax.engine.data.data_sets import KINDS, picture_size
from ddad_jax.engine.data.view import View, all_onto_reference, scored_onto_reference, tiles_of, view_of
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.errors import InputError
from ddad_jax.metrics.thresholds import tuning_size
from ddad_jax.synthetic.painted import DEFECTS, STRENGTHS, painted_on, synthetic_defects
from ddad_jax.vision.tiles import Tiles

log = logging.getLogger(__name__)


class SelectionPictures(NamedTuple):
    """What a point is chosen by, without a label.

    trained: of the images trained on, to fill up the held-out images that choose where these are few; may be empty.
    defects: synthetic, painted on the held-out images that choose and then on those.
    """

    trained: ImageSet
    defects: ImageSet


class Data(NamedTuple):
    """name; fit: normal images trained on; held_out: normal images never trained on; test.

    calibration: held-out images that give the thresholds. tuning: other held-out images, on which everything is chosen
    that this run chooses by held-out images and which the score's constants rest on; None where nothing is chosen (or
    too few are held out), and the calibration images give these constants, too. Both are reconstructed at every grid
    point. choice: None where the config does not choose by synthetic defects. view: what their camera's view asks for;
    with tiles ``fit`` and ``held_out`` are tiles, and the others are whole pictures. validation: of ``held_out``, what
    trainings measure themselves on, none of the calibration images where there are tuning images.
    notes: as of `DataSet`.
    n_fit, n_held_out: pictures of these, whatever they were cut into. whole: those of ``fit``, uint8 [n_fit, s, s, 3]
    of the network's size s. recordings: of each of these, as of `DataSet`; empty where they are not known.
    recording_of: of a normal picture by its name, where whole recordings are held out and there are several.
    """

    name: str
    fit: ImageSet
    held_out: ImageSet
    calibration: ImageSet
    test: ImageSet
    validation: ImageSet
    n_fit: int
    n_held_out: int
    choice: SelectionPictures | None = None
    view: View = View()
    notes: tuple[str, ...] = ()
    tuning: ImageSet | None = None
    whole: np.ndarray = np.zeros((0, 1, 1, 3), np.uint8)
    recordings: tuple[str, ...] = ()
    recording_of: Mapping[str, str] = {}  # noqa: RUF012 - a tuple's default, never written to

    @property
    def calibration_recordings(self) -> tuple[str, ...]:
        """The one each calibration image comes from; empty where that is not known."""
        return tuple(self.recording_of[name] for name in self.calibration.names) if self.recording_of else ()

    @property
    def scale(self) -> ImageSet:
        """The held-out images that the constants of a score are measured on."""
        return self.calibration if self.tuning is None else self.tuning

    @property
    def choosing(self) -> list[ImageSet]:
        """What a point is chosen by: the first of ``sets``."""
        return [self.scale, *(self.choice or ())]

    @property
    def sets(self) -> list[ImageSet]:
        """All that is reconstructed at every grid point: ``scale`` first, test images last, before them the calibration
        images where these are others."""
        return [*self.choosing, *([] if self.tuning is None else [self.calibration]), self.test]

    @property
    def calibrating(self) -> slice:
        """Where the calibration images are among those of ``sets``."""
        n = len(self.calibration.labels)
        begin = 0 if self.tuning is None else sum(len(s.labels) for s in self.choosing)
        return slice(begin, begin + n)

    @property
    def shown(self) -> np.ndarray:
        """The pictures of ``sets`` as the network takes them: uint8 [n, s, s, 3], or [n k, s, s, 3] of k tiles each,
        which are cut when they are looked at (``Tiles``)."""
        if self.view.tiling is None:
            return np.concatenate([s.images for s in self.sets])
        as_tiles: Any = Tiles([image for s in self.sets for image in s.images], self.view.tiling)
        return as_tiles

    @property
    def watched(self) -> np.ndarray | None:
        """What the view's mask leaves of each of ``shown``: bool, to be broadcast to [n k, s, s]; None for no mask."""
        tiles = self.view.watched_tiles
        return np.tile(tiles, (sum(len(s.labels) for s in self.sets), 1, 1)) if tiles is not None else None


def load_data(c: Settings) -> Data:
    """Read or render what ``c.data`` names and split the normal training images; what is to be told of the files and
    what is odd about the pictures is logged before anything is refused."""
    kind = KINDS[c.data.kind]
    found = kind.pictures(c.data, c.seed) if c.view.register else None
    if found is None:
        dataset, view = kind.load(c.data, c.seed), view_of(c)
    elif c.view.register == "all":
        dataset, view = all_onto_reference(c, found)
    else:
        dataset, view = data_set(found, picture_size(c.data), orient=kind.upright), view_of(c)
    notes = (*dataset.notes, *(f"{dataset.name}: {oddity}" for oddity in suspicious(dataset.train, dataset.test)))
    dataset = dataset._replace(notes=notes)
    if c.data.balance:
        dataset = balanced(dataset)
    for note in dataset.notes:
        log.warning("%s", note)
    if found and c.view.register == "scored":
        return _scored_registered(c, split_data(c, dataset, view), found)
    return split_data(c, dataset, view)


def split_data(c: Settings, dataset: DataSet, view: View | None = None) -> Data:
    """Hold out normal images, spread the calibration images evenly over them, part those that choose from those that
    give thresholds, paint defects if asked to.

    Raises:
      InputError: too few pictures, for a split at all or for maps in their normal spread.
    """
    recordings = dataset.recordings if c.data.hold_out == "recording" else ()
    fit, held_out = hold_out(dataset.train, fraction=c.data.held_out, seed=c.seed, recordings=recordings)
    calibration = subset(held_out, spread(len(held_out.labels), c.data.calibration))
    if len(calibration.labels) < 2 and True in (c.score.standardise, *c.sweep.standardise):
        raise InputError(
            f"{dataset.name}: of {len(dataset.train.labels)} normal pictures one is held out, and one has no spread to "
            "standardise maps with: expected at least 4 normal pictures, or --config.score.standardise=False and "
            "--config.sweep.standardise='()'"
        )
    tuning, notes = None, dataset.notes
    recording_of = dict(zip(dataset.train.names, recordings, strict=True)) if recordings else {}
    if c.tunes:
        own = [recording_of[name] for name in calibration.names] if recordings else []
        if parts := split_held_out(calibration, share=c.data.tuning, seed=c.seed, recordings=own):
            tuning, calibration = parts
        else:
            notes = (*notes, _UNPARTED.format(dataset.name, len(calibration.labels)))
            log.warning("%s", notes[-1])
    choice = choice_of(c, fit, calibration if tuning is None else tuning) if c.select == "synthetic" else None
    whole, of = shrunk(fit.images, c.data.size), dict(zip(dataset.train.names, dataset.recordings, strict=False))
    known = tuple(of[name] for name in fit.names if name in of)
    view, numbers = view or View(), (len(fit.labels), len(held_out.labels))
    # Validation and the contrast of an epoch look at all that may choose, so it may not outweigh what is trained on.
    most = max(1, c.data.train_tiles // 8)
    fit, held_out = tiles_of(fit, view, c.data.train_tiles), tiles_of(held_out, view, most)
    looked_at = held_out if tuning is None else tiles_of(tuning, view, most)
    few = subset(looked_at, spread(len(looked_at.labels), c.data.calibration))
    sets = (fit, held_out, calibration, dataset.test, few)
    # Frames of the only one there is are all that a bound can be of.
    several = recording_of if len({*recordings}) > 1 else {}
    return Data(dataset.name, *sets, *numbers, choice, view, notes, tuning, whole, known, several)


_UNPARTED = (
    "{}: {} held-out normal picture(s) cannot be parted into those that choose and those that give the threshold, so "
    "the same do both and the bound on false alarms does not hold: expected 4 different ones or more; hold out more by "
    "--config.data.held_out and --config.data.calibration, in a new workdir"
)


def shrunk(images: np.ndarray, size: int) -> np.ndarray:
    """Whole pictures at the size of the network's, uint8 [n, size, size, 3]; the same array where they are."""
    if images.shape[1:3] == (size, size):
        return images
    small = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(small) if small else np.zeros((0, size, size, 3), np.uint8)


def _scored_registered(c: Settings, data: Data, found: Pictures) -> Data:
    """The same with the pictures that are scored brought onto the reference; those trained on stay as they are."""
    tuned = [] if data.tuning is None else [data.tuning]
    view, (calibration, test, *tuned) = scored_onto_reference(c, found, data.view, data.calibration, data.test, *tuned)
    data = data._replace(calibration=calibration, test=test, view=view, tuning=tuned[0] if tuned else None)
    return data._replace(choice=choice_of(c, data.fit, data.scale) if data.choice else None)


def choice_of(c: Settings, fit: ImageSet, scale: ImageSet) -> SelectionPictures:
    """Synthetic defects on the held-out images that choose and, where these are few, on images trained on."""
    # A handful of held-out pictures ranks nothing. A picture trained on is redrawn better than a new one, but its
    # synthetic defect was never trained on: a point that tells it from all normal pictures, old and new, is what is
    # looked for.
    wanting = c.synthetic_normals - len(scale.labels)
    trained = subset(fit, spread(len(fit.labels), wanting) if wanting > 0 else [])
    normal = np.concatenate([scale.images, trained.images])
    return SelectionPictures(trained, painted(normal, c.synthetic_defects, c.seed))


def painted(normal: np.ndarray, about: int, seed: int) -> ImageSet:
    """``about`` synthetic defects or a few more, as many on each of ``normal`` (uint8 [n, h, w, 3]); fewer where that
    is more than every kind at every strength."""
    per_image = min(math.ceil(about / len(normal)), len(DEFECTS) * len(STRENGTHS))
    return synthetic_defects(normal, seed=seed, per_image=per_image)


def tuning_share(c: Settings, data: Data) -> float:
    """Of the calibration images that choose: as configured, or what whole recordings made of it; 0 where none does."""
    if data.tuning is None:
        return 0.0
    n_tuning, n = len(data.tuning.labels), len(data.tuning.labels) + len(data.calibration.labels)
    return c.data.tuning if n_tuning == tuning_size(n, c.data.tuning) else n_tuning / n


def own_normal(data: Data) -> np.ndarray:
    """The image of ``data.scale`` that each image before the test images shows, -1 for none of them; int [n]."""
    n, others = len(data.scale.labels), 0 if data.tuning is None else len(data.calibration.labels)
    shown = np.arange(n)
    if data.choice is not None:
        shown = np.concatenate([np.arange(n + len(data.choice.trained.labels)), painted_on(data.choice.defects)])
    return np.concatenate([np.where(shown < n, shown, -1), np.full(others, -1)])
