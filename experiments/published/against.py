"""Ours and the published method in turns, in one process, on one device: a call, an update, a detector."""

import functools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from ddad_jax.engine.cost.untrained import Untrained, random_params, training_update, untrained
from ddad_jax.engine.methods.ddad.networks import build_unet
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.settings.section import changed
from ddad_jax.errors import InputError
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.weights import to_torch
from experiments.published.networks import (
    State,
    published_features,
    published_maps,
    published_noise,
    published_reconstruction,
)

PUBLISHED: dict[str, Any] = {
    "model.channel_mult": (), "model.res_blocks": 2, "model.attention_sizes": (32, 16, 8), "model.dropout": 0.0,
    "model.patch": 1, "model.predict": "eps", "model.groups": 32, "sample.model": "teacher", "sample.steps": 10,
    "sample.solver": "ddim", "sample.eta": 1.0, "sample.start_noise": 1.0, "sample.reuse": 1, "score.crop": 224,
}  # fmt: skip
"""What the network and the point of both are; base, heads, size, types and the backbone are the config's."""
STUDENT: dict[str, Any] = {"sample.model": "student", "sample.steps": 1, "sample.eta": 0.0}
CLOCKS: Mapping[str, Callable[[], float]] = {"": time.perf_counter, "cpu_": time.process_time}
"""Of the wall, and of all threads of this process: on a machine with other work the second is the steadier."""


def time_published(c: DDADSettings, batch: int, repeats: int) -> Iterator[dict[str, Any]]:
    """A row each of a call, an update, DDAD-10, and a student's one call against DDAD-10; ratio: our time over that of
    PyTorch, the median of neighbouring repetitions; difference: of the noise predicted with the same weights, in units
    of its largest value.

    PyTorch gets as many threads as JAX has, and on a GPU what it has to be fast there: convolutions and products in
    TF32, channels last, and under a bfloat16 config autocast to bfloat16; on a CPU float32, as published. Dropout is
    left out on both sides, and an update of ours also clips and averages, as our settings say.

    Raises:
      InputError: a backbone that is no ResNet.
    """
    if "resnet" not in c.backbone.name:
        raise InputError(f"--config.backbone.name={c.backbone.name}: expected a ResNet, such as wide_resnet101_2")
    c = changed(c, {**PUBLISHED, "score.crop": min(c.data.size, PUBLISHED["score.crop"])})
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads)
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = device == "cuda"
    torch.backends.cudnn.benchmark = True
    theirs = "bfloat16" if device == "cuda" and c.model.dtype == "bfloat16" else "float32"
    in_type = functools.partial(torch.autocast, device, torch.bfloat16, theirs == "bfloat16")
    known = {"batch": batch, "dtype": c.model.dtype, "pytorch_dtype": theirs, "threads": threads}
    known |= {"pytorch": torch.__version__}

    unet, rng = build_unet(c.model, c.data.size), np.random.default_rng(0)
    # Weights that begin at zero would hide every mistake before them.
    params = random_params(unet)
    state = tensors_of(to_torch({"params": params}), device)
    x = rng.standard_normal((batch, c.data.size, c.data.size, 3)).astype(np.float32)
    x_here, t_here = torch.from_numpy(np.moveaxis(x, -1, 1).copy()).to(device), torch.full((batch,), 100).to(device)
    x_here = x_here.to(memory_format=_order(device))
    call = jax.jit(lambda params, x, t: unet.apply({"params": params}, x, t))
    placed, t = jnp.asarray(x), jnp.full(batch, 100)

    @torch.inference_mode()
    @in_type()
    def published_call() -> torch.Tensor:
        return _waited(published_noise(state, x_here, t_here, heads=c.model.heads))

    ours: Any = np.moveaxis(np.asarray(call(params, placed, t)), -1, 1)
    difference = float(np.abs(published_call().float().cpu().numpy() - ours).max() / np.abs(ours).max())
    pair = lambda: call(params, placed, t), published_call
    yield {"what": f"call, base {c.model.base}", **known, **in_turns(*pair, repeats), "difference": difference}

    update, _ = training_update(c.model, changed(c, {"train.batch_size": batch}).train, c.data.size)
    yield {
        "what": f"update, base {c.model.base}",
        **known,
        **in_turns(update, in_type()(published_update(state, x_here, t_here, c.model.heads)), repeats),
    }
    made = untrained(c, batch, Path())
    detect = in_type()(published_detector(c, state, made, device))
    name = f"{c.model.base}, {c.backbone.name}, map and score"
    yield {"what": f"DDAD-10, base {name}", **known, **in_turns(made.detect, detect, repeats)}
    student = untrained(changed(c, STUDENT), batch, Path()).detect
    yield {"what": f"student's call against DDAD-10, base {name}", **known, **in_turns(student, detect, repeats)}


def in_turns(ours: Callable[[], Any], published: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Medians in milliseconds of both by each of CLOCKS and the ratios, after a warm-up each."""
    calls = {"ours": ours, "pytorch": published}
    for one in calls.values():
        jax.block_until_ready(one())
    spent: dict[str, list[float]] = {f"{name}_{clock}ms": [] for clock in CLOCKS for name in calls}
    for _ in range(repeats):
        for name, one in calls.items():
            started = [clock() for clock in CLOCKS.values()]
            jax.block_until_ready(one())
            for (clock, now), begin in zip(CLOCKS.items(), started, strict=True):
                spent[f"{name}_{clock}ms"].append(1e3 * (now() - begin))
    row = {name: statistics.median(own) for name, own in spent.items()}
    for clock in CLOCKS:
        pairs = zip(spent[f"ours_{clock}ms"], spent[f"pytorch_{clock}ms"], strict=True)
        row[f"{clock}ratio"] = statistics.median(a / b for a, b in pairs)
    return row


def published_update(state: State, x: torch.Tensor, t: torch.Tensor, heads: int) -> Callable[[], torch.Tensor]:
    """An update of copies of the weights: noise drawn, sum of squares, Adam with coupled L2."""
    params = {name: each.clone().requires_grad_() for name, each in state.items()}
    adam = torch.optim.Adam(params.values(), lr=3e-4, weight_decay=0.05)
    alpha_bar = torch.from_numpy(alpha_bar_table()).to(x.device)

    def update() -> torch.Tensor:
        adam.zero_grad()
        noise, a = torch.randn_like(x), alpha_bar[t][:, None, None, None]
        eps = published_noise(params, a.sqrt() * x + (1 - a).sqrt() * noise, t, heads=heads)
        loss = (noise - eps).square().sum((1, 2, 3)).mean()
        loss.backward()
        adam.step()
        return _waited(loss.detach())

    return update


def published_detector(
    c: DDADSettings, state: State, made: Untrained, device: str
) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """From the pictures of ``made`` on the host to maps and scores there, with its feature network."""
    features = tensors_of(to_torch(made.detector.program.weights[1]), device)
    alpha_bar = torch.from_numpy(alpha_bar_table()).to(device)
    margin = (c.data.size - (c.score.crop or c.data.size)) // 2
    inside = slice(margin, c.data.size - margin)

    @torch.inference_mode()
    def detect() -> tuple[np.ndarray, np.ndarray]:
        y = torch.from_numpy(made.images).to(device).permute(0, 3, 1, 2)
        y = y.contiguous(memory_format=_order(device)) / 255 * 2 - 1
        a = alpha_bar[c.sample.t_prime]
        start = a.sqrt() * y + (1 - a).sqrt() * torch.randn_like(y)
        x0 = published_reconstruction(
            lambda x, t: published_noise(state, x, t, heads=c.model.heads),
            y, start, alpha_bar, w=c.sample.w, t_prime=c.sample.t_prime, steps=c.sample.steps, eta=c.sample.eta,
        )  # fmt: skip
        maps = published_maps(lambda x: published_features(features, x), x0, y, v=c.score.v)[:, inside, inside]
        return maps.float().cpu().numpy(), maps.amax((1, 2)).float().cpu().numpy()

    return detect


def tensors_of(state: Mapping[str, np.ndarray], device: str) -> State:
    """On ``device``; weights of convolutions as it reads them quickest."""
    found = {name: torch.from_numpy(np.array(each)).to(device) for name, each in state.items()}
    return {name: each.to(memory_format=_order(device)) if each.ndim == 4 else each for name, each in found.items()}


def _order(device: str) -> torch.memory_format:
    return torch.channels_last if device == "cuda" else torch.contiguous_format


def _waited(found: torch.Tensor) -> torch.Tensor:
    if found.is_cuda:
        torch.cuda.synchronize()
    return found
