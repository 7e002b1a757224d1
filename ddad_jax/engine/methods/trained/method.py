"""A method that trains networks of its own and then maps a picture by them, in one or several stages.

A method of this kind is the mathematics below and its settings: a section of its name (``batch_size``, ``origin`` and
the fields of its costly points), ``model`` (its networks, with ``dtype``), ``train`` and one section more for every
further stage (``NetworkTrainingSettings``), ``device``, ``score`` and ``sweep``. How it is trained, resumed, kept,
measured and told is written here, in ``trained/training.py`` and in ``trained/fitted.py``, once.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.method import at_dotted, is_count
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.methods.section_method import SectionMethod
from ddad_jax.engine.methods.trained.fitted import FittedNetworks
from ddad_jax.engine.methods.trained.sections import check_trained_jointly
from ddad_jax.engine.methods.trained.training import materials_of, restored_stage, trained_stage
from ddad_jax.engine.settings.need import Need
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.tracking import Write
from ddad_jax.types import Array, Variables

Networks = Mapping[str, Variables]
"""Variables of what was trained, by its stage."""


def millions(variables: Variables) -> float:
    """Of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) / 1e6


class TrainedMethod(SectionMethod):
    """``method.Method``; the abstract functions are a method's own.

    stages: what is trained, in this order; each is a section of the settings, a folder of the workdir and a history
    beside it, and ``train`` should be the last one. traced: fields of a costly point of which ``compare`` may be given
    arrays, so that all their values are one program. trained_with: of each stage, sections and settings besides its own
    that it depends on, by dotted names; ``seed`` and ``data`` always count. figures: of each stage, what ``loss`` tells
    the history.
    """

    stages: Sequence[str] = ("train",)
    traced: Sequence[str] = ()
    trained_with: Mapping[str, Sequence[str]] = {}
    figures: Mapping[str, Sequence[str]] = {}

    # --- The mathematics

    @abstractmethod
    def init(self, c: Any, stage: str, key: Array) -> Variables:
        """Fresh networks of a stage: {"params": ...}, and "batch_stats" where they have any."""

    def materials(self, c: Any, stage: str, data: Data) -> dict[str, Any]:
        """Arrays that a training takes besides its pictures, the same at every step (such as textures); *host*.

        Raises:
          InputError: they cannot be had.
        """
        return {}

    def shown(self, c: Any, stage: str, images: np.ndarray) -> np.ndarray:
        """What a training is given of normal pictures, uint8 [n, h, w, 3 and more]: such as a map beside each, which is
        mirrored with it; *host*."""
        return images

    def scaled(self, c: Any, stage: str) -> optax.GradientTransformation | None:
        """What updates of {"params": ...} pass at the end, such as another rate for one of several networks."""
        return None

    @abstractmethod
    def loss(
        self, c: Any, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, key: Array
    ) -> tuple[Array, tuple[dict[str, Array], dict[str, Any]]]:
        """What is minimised, on one batch.

        Args:
          variables: as of ``init``; the gradient is taken to their "params". given: ``materials``, and the variables
            of earlier stages by their names. x: normal pictures as of ``shown``, float32 in [-1, 1]. key: of this step.

        Returns:
          the loss []; ``figures`` by name, each []; and the collections that the pass has changed, such as
          {"batch_stats": ...}, {} where there are none.
        """

    @abstractmethod
    def validation(
        self, c: Any, stage: str, variables: Variables, given: Mapping[str, Any], x: Array, keys: Array
    ) -> Array:
        """What held-out normal pictures cost the networks as they are used later, [b]; each picture alone.

        Args:
          x: as of ``loss``. keys: [b], of each picture's content: the same whenever it is measured.
        """

    @abstractmethod
    def compare(self, c: Any, costly: Any, networks: Networks, x: Array, seeds: Array) -> Any:
        """Evidence on b pictures, a tree of arrays [b, ...]; each picture alone.

        Args:
          x: [b, h, w, 3] in [-1, 1]. seeds: of what is drawn for each picture, of its own content, uint32 [b].
        """

    @abstractmethod
    def judge(self, evidence: Any, cheap: Any, size: tuple[int, int]) -> tuple[Array, Array | None]:
        """Maps [b, *size] of the evidence, and image scores [b] where the method has its own."""

    def reconstruction(self, c: Any, costly: Any, networks: Networks, x: Array, seeds: Array) -> Array | None:
        """Pictures [b, h, w, 3] in [-1, 1] that a report shows beside the test pictures; None where there are none."""
        return None

    @abstractmethod
    def described(self, c: Any, networks: Networks) -> str:
        """The networks, in words."""

    def columns(self, c: Any) -> dict[str, Any]:
        """What rows say of the training besides its steps; no path of one machine."""
        return {}

    # --- The rest of ``method.Method``

    def together(self, c: Any, need: Need) -> None:
        check_trained_jointly(c, need)

    def doubts(self, c: Any) -> list[str]:
        return [
            f"--config.{stage}.drop_at={s.drop_at}: shares of the {s.steps} steps, before which --config.{stage}."
            f"max_minutes={s.max_minutes:g} may end the training"
            for stage in self.stages
            if (s := getattr(c, stage)).drop_at and s.max_minutes
        ]

    def beside(self, c: Any) -> str:
        return "with the networks as trained"

    def random(self, costly: Any) -> bool:
        return False

    def fit(self, c: Any, workdir: Path, data: Data, write: Write, mesh: Mesh | None = None) -> FittedNetworks:
        networks: dict[str, Variables] = {}
        # What a later stage lacks is better said now than after the training of the earlier ones.
        materials = {stage: materials_of(self, c, stage, workdir, data) for stage in self.stages}
        for stage in self.stages:
            networks[stage] = trained_stage(self, c, stage, networks, workdir, data, write, materials.pop(stage))
        return FittedNetworks(self, c, workdir, jax.tree.map(np.asarray, networks), mesh)

    def restored(self, c: Any, workdir: Path, mesh: Mesh | None = None) -> FittedNetworks:
        networks = {stage: restored_stage(self, c, stage, workdir) for stage in self.stages}
        return FittedNetworks(self, c, workdir, jax.tree.map(np.asarray, networks), mesh)

    def restored_at(self, c: Settings, workdir: Path, point: Point, numbers: Mapping[str, Any]) -> FittedNetworks:
        return self.restored(c, workdir)

    def needed(self, numbers: Mapping[str, Any]) -> dict[str, tuple[Callable[[Any], bool], str]]:
        return {"train_steps": (is_count, "a whole number, at least 0")}

    def numbers(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"train_steps": row["train_steps"]}

    def bound(self, workdir: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What has not been begun yet binds nobody."""
        return {
            stage: {
                name: at_dotted(settings, name)
                for name in ("method", "seed", "data", *self.trained_with.get(stage, ()), stage)
            }
            for stage in self.stages
            if (workdir / stage).exists()
        }
