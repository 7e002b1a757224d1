"""DDAD's networks, its reconstruction and its maps as functions of PyTorch tensors and a state dict.

Modules are functions of (state, the name of the module in it, inputs): what a stage consists of is read from the names
that the state dict has.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

State = Mapping[str, Tensor]


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def _conv(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    if weight.ndim == 2:
        weight = weight[..., None, None]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), stride, weight.shape[-1] // 2)


def _group_norm(state: State, name: str, x: Tensor) -> Tensor:
    return F.group_norm(x, 32, state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)


def _residual(state: State, name: str, x: Tensor, emb: Tensor, resample: str = "") -> Tensor:
    h = F.silu(_group_norm(state, f"{name}.in_layers.0", x))
    if resample == "down":
        h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
    elif resample == "up":
        h, x = (F.interpolate(each, scale_factor=2, mode="nearest") for each in (h, x))
    h = _conv(state, f"{name}.in_layers.2", h) + _linear(state, f"{name}.embed_layers.1", F.silu(emb))[..., None, None]
    h = _conv(state, f"{name}.out_layers.3", F.silu(_group_norm(state, f"{name}.out_layers.0", h)))
    return h + (_conv(state, f"{name}.skip_connection", x) if f"{name}.skip_connection.weight" in state else x)


def _attention(state: State, name: str, x: Tensor, heads: int) -> Tensor:
    b, c, *side = x.shape
    flat = _group_norm(state, f"{name}.norm", x).reshape(b, c, -1)
    qkv = F.conv1d(flat, state[f"{name}.to_qkv.weight"], state[f"{name}.to_qkv.bias"])
    q, k, v = qkv.reshape(b * heads, 3 * c // heads, -1).chunk(3, 1)
    scale = (c // heads) ** -0.25
    weights = torch.einsum("bct,bcs->bts", q * scale, k * scale).softmax(-1)
    mixed = torch.einsum("bts,bcs->bct", weights, v).reshape(b, c, -1)
    out = F.conv1d(mixed, state[f"{name}.proj_out.weight"], state[f"{name}.proj_out.bias"])
    return x + out.reshape(b, c, *side)


def published_noise(state: State, x: Tensor, t: Tensor, *, heads: int) -> Tensor:
    """eps_theta(x_t, t) in evaluation: x [b, 3, s, s], t [b] in 0..999; the two ResBlocks a level of the paper."""
    base, stages = state["down.0.0.weight"].shape[0], 1 + max(int(n.split(".")[1]) for n in state if n[:5] == "down.")
    half = base // 2
    frequency = torch.exp(torch.arange(half, device=x.device) * (-math.log(10000.0) / half))
    angle = t.float()[:, None] * frequency[None]
    emb = _linear(state, "time_embedding.1", torch.cat([angle.sin(), angle.cos()], -1))
    emb = _linear(state, "time_embedding.3", F.silu(emb))

    def attended(name: str, h: Tensor) -> Tensor:
        return _attention(state, name, h, heads) if f"{name}.to_qkv.weight" in state else h

    h = _conv(state, "down.0.0", x)
    skips = [h]
    for i in range(1, stages):
        # Of the three stages of a level the third halves it.
        h = _residual(state, f"down.{i}.0", h, emb, "" if i % 3 else "down")
        h = attended(f"down.{i}.1", h)
        skips.append(h)
    h = _residual(state, "middle.0", h, emb)
    h = _residual(state, "middle.2", attended("middle.1", h), emb)
    for i in range(stages):
        h = _residual(state, f"up.{i}.0", torch.cat([h, skips.pop()], 1), emb)
        h = attended(f"up.{i}.1", h)
        if i % 3 == 2 and i < stages - 1:
            last = 2 if f"up.{i}.1.to_qkv.weight" in state else 1
            h = _residual(state, f"up.{i}.{last}", h, emb, "up")
    return _conv(state, "out.2", F.silu(_group_norm(state, "out.0", h)))


def published_features(state: State, x: Tensor) -> list[Tensor]:
    """Stages 1 to 3 of a ResNet with bottlenecks, in evaluation; x [b, 3, s, s], normalised as the weights expect."""

    def normed(name: str, h: Tensor) -> Tensor:
        mean, var, weight, bias = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(h, mean, var, weight, bias)

    h = F.max_pool2d(F.relu(normed("bn1", _conv(state, "conv1", x, 2))), 3, 2, 1)
    found = []
    for layer in ("layer1", "layer2", "layer3"):
        block = 0
        while (name := f"{layer}.{block}") + ".conv1.weight" in state:
            stride = 2 if layer != "layer1" and block == 0 else 1
            inner = F.relu(normed(f"{name}.bn1", _conv(state, f"{name}.conv1", h)))
            inner = F.relu(normed(f"{name}.bn2", _conv(state, f"{name}.conv2", inner, stride)))
            inner = normed(f"{name}.bn3", _conv(state, f"{name}.conv3", inner))
            if f"{name}.downsample.0.weight" in state:
                h = normed(f"{name}.downsample.1", _conv(state, f"{name}.downsample.0", h, stride))
            h, block = F.relu(inner + h), block + 1
        found.append(h)
    return found


def published_reconstruction(
    noise_fn: Callable[[Tensor, Tensor], Tensor],
    y: Tensor,
    start: Tensor,
    alpha_bar: Tensor,
    *,
    w: float,
    t_prime: int = 250,
    steps: int = 10,
    eta: float = 1.0,
) -> Tensor:
    """From ``start``, the picture noised to T', to x0 [b, 3, s, s]: DDAD Algorithm 1 at the published times."""
    x, skip, one = start, t_prime // steps, torch.ones((), device=y.device)
    for t in range(t_prime - skip, -1, -skip):
        a, before = alpha_bar[t], alpha_bar[t - skip] if t else one
        eps = noise_fn(x, torch.full((len(x),), t, device=y.device))
        y_t = a.sqrt() * y + (1 - a).sqrt() * eps
        eps = eps - w * (1 - a).sqrt() * (y_t - x)
        x0 = (x - (1 - a).sqrt() * eps) / a.sqrt()
        sigma = eta * ((1 - a / before) * (1 - before) / (1 - a)).sqrt()
        x = before.sqrt() * x0 + sigma * torch.randn_like(x) + (1 - before - sigma**2).clamp(min=0).sqrt() * eps
    return x


def published_maps(features: Callable[[Tensor], list[Tensor]], x0: Tensor, y: Tensor, *, v: float) -> Tensor:
    """Anomaly maps [b, s, s]: both distances, weighted by the maxima over the batch, and blurred; before the crop."""
    d_p = (x0 - y).abs().mean(1, keepdim=True)
    mean, std = (torch.tensor(each, device=y.device).view(1, 3, 1, 1) for each in (_MEAN, _STD))
    both = [features(((picture + 1) / 2 - mean) / std)[1:] for picture in (x0, y)]
    d_f = torch.zeros_like(d_p)
    for pair in zip(*both, strict=True):
        near = [F.avg_pool2d(each, 3, 1, 1) for each in pair]
        d = 1 - F.cosine_similarity(*near)
        d_f = d_f + F.interpolate(d[:, None], y.shape[-2:], mode="bilinear", align_corners=True)
    found = d_f + v * (d_f.max() / d_p.max()) * d_p
    taps = torch.exp(-0.5 * (torch.arange(-16.0, 17.0, device=y.device) / 4.0) ** 2)
    taps = taps / taps.sum()
    found = F.conv2d(F.pad(found, (16, 16, 16, 16), mode="reflect"), taps.view(1, 1, 1, -1))
    return F.conv2d(found, taps.view(1, 1, -1, 1))[:, 0]


_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
