"""One shard of a sweep: its points of the grid reconstructed and judged with the models that the workdir holds."""

import contextlib
import logging
import shlex
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from ddad_jax.mesh import device_mesh, require_work
from ddad_jax.points import ReconPoint
from experiments import adapting, distilling, hosts, journal, shards, sweeping, training
from experiments.dealing import Cost, dealt
from experiments.gridding import optimised_grids
from experiments.model import Data, load_data
from experiments.plan import plan
from experiments.shards import Shard
from experiments.teacher import compared_pictures
from experiments.workdir import held, require_same

log = logging.getLogger(__name__)


def run_shard(config: ConfigDict, workdir: Path, shard: Shard) -> None:
    """Reconstruct and judge the points of ``shard`` that no journal holds; their rows go to a journal of its own.

    Nothing is trained, and of what the shards share only what the report shows of the selected point is written, by the
    one shard that has it.

    Raises:
      InputError: models that the points need are missing; more shards than points; another process computes this
        shard.
    """
    todo = plan(config, sweep=True)
    if shard.n > len(todo.recon):
        raise InputError(
            f"--shard={shard}: {shard.n} shards for {len(todo.recon)} points to reconstruct; expected at most "
            f"{len(todo.recon)}, a point for each"
        )
    folder = workdir.expanduser().absolute()
    with contextlib.ExitStack() as until_the_end:
        _require_run(folder, shard)
        until_the_end.enter_context(held(folder, shared=True))
        hosts.first("the lock of the shard", lambda: until_the_end.enter_context(shards.held(folder, shard)))
        data = load_data(config)
        hosts.first("--workdir", lambda: require_same(folder, config, data))
        own = _own(config, data, todo.recon, shard)
        mesh, mend = device_mesh(), "Use fewer shards"
        images = data.view.tiles * sum(len(s.labels) for s in data.sets)
        require_work(len(own) * images, mesh, what="pairs of a setting and a picture", mend=mend)
        try:
            params = training.restored(config, folder)
            # As ``trained`` gives them back where there are several devices.
            params = params if mesh is None else jax.tree.map(np.asarray, params)
            variables, epoch = adapting.restored(config, folder)
            student = None
            if any(point.model == "student" for point in own):
                taught = distilling.restored(config, folder, params)
                student = sweeping.student_of(config, taught.params, variables, mesh, made_with=taught.made_with)
            grids = optimised_grids(config, folder, data, params, own, find=False)
            program = sweeping.program_of(config, params, variables, mesh)
            journal.require_own(folder / "journal.jsonl", program.weights)
        except InputError as error:
            raise InputError(f"--shard={shard}: {error}. {_first_make(shard)}") from None
        sweeping.run(config, folder, data, program, epoch, todo._replace(recon=own), grids, student, shard)
    log.info("shard %s is done: %s", shard, shards.journal_of(folder, program.weights, shard))


def _own(c: ConfigDict, data: Data, points: list[ReconPoint], shard: Shard) -> list[ReconPoint]:
    teacher, images = c.teacher, data.view.tiles * sum(len(s.labels) for s in data.sets)
    compared = len(compared_pictures(c, data.test))
    cost = Cost(images, teacher, compared)
    every = dealt(points, shard.n, cost)
    own = every[shard.k]
    costs = [cost(part) for part in every]
    programs = len({(p.model, p.solver, p.steps, p.reuse, p.mask_before) for p in own})
    log.info(
        "shard %s: %d of %d points to reconstruct, %d compiled programs, %d network calls (all shards: %d to %d)",
        shard, len(own), len(points), programs, costs[shard.k], min(costs), max(costs),
    )  # fmt: skip
    return own


def _require_run(folder: Path, shard: Shard) -> None:
    seen = {"config.json is there": (folder / "config.json").exists()}
    hosts.agree(f"--workdir={folder}", seen, "Name a folder that all of them share.")
    if not seen["config.json is there"]:
        raise InputError(f"--shard={shard}: --workdir={folder} holds no models yet. {_first_make(shard)}")


def _first_make(shard: Shard) -> str:
    named = shlex.quote(f"--shard={shard}")
    return f"First make the models, once: the same command with --models_only in the place of {named}"
