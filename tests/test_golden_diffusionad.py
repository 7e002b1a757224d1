"""Parity with the published DiffusionAD: guided prediction, marks, losses, one step of training, damage."""

from typing import Any

import golden_methods_files as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import nchw, nhwc

from ddad_jax import diffusionad as core
from ddad_jax.norm_guided import norm_guided
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.segmentation_unet import SegmentationUNet
from ddad_jax.synthetic.foreground_damage import softly_blended
from ddad_jax.synthetic.shuffling import Orders, shuffled
from ddad_jax.types import Array
from ddad_jax.unet import UNet
from ddad_jax.weights import unet_variables

METHOD = "diffusionad"
TABLE = jnp.asarray(alpha_bar_table())


def each(*having: str) -> Any:
    cases = golden.cases(METHOD, *having)
    return pytest.mark.parametrize("case", [case for _, case in cases], ids=[name for name, _ in cases])


def stored(case: dict[str, Any]) -> dict[str, np.ndarray]:
    return golden.arrays(METHOD, case["file"])


def networks(size: int) -> tuple[core.GuidedNetworks, Any]:
    """Those of the folder, whose U-Net says its widths in its state."""
    state = golden.state(METHOD, "state_unet.json")
    base = state["down.0.0.weight"].shape[0]
    made = core.GuidedNetworks(
        UNet(size, base, channel_mult=(1, 2, 3), res_blocks=1, attention_sizes=(16, 8), heads=4),
        SegmentationUNet(
            golden.state(METHOD, "state_segmentation.json")["encoder_segment.block1.0.weight"].shape[0], 1
        ),
    )
    fresh: Any = jax.eval_shape(lambda: core.init_guided(made, jax.random.key(0), (size, size)))
    unet: Any = unet_variables(state, {"params": fresh["params"]["unet"]})
    segmentation: Any = unet_variables(
        golden.state(METHOD, "state_segmentation.json"),
        {kind: fresh[kind]["segmentation"] for kind in ("params", "batch_stats")},
    )
    return made, {
        "params": {"unet": unet["params"], "segmentation": segmentation["params"]},
        "batch_stats": {"segmentation": segmentation["batch_stats"]},
    }


def inputs(case: dict[str, Any], x: str) -> tuple[Any, ...]:
    a = stored(case)
    t = [a["t_n"], a["t_r"]] if "t_n" in a else [np.full(len(a[x]), case["parameters"][n]) for n in ("t_n", "t_r")]
    return *(jnp.asarray(nhwc(a[name])) for name in (x, "noise_n", "noise_r")), *(jnp.asarray(n, jnp.int32) for n in t)


@each("guided_w1")
def test_guided_predictions(case: dict[str, Any]) -> None:
    made, variables = networks(stored(case)["x"].shape[-1])
    eps_fn: Any = lambda x_t, t: made.unet.apply({"params": variables["params"]["unet"]}, x_t, t)  # noqa: E731
    run = jax.jit(lambda w: norm_guided(eps_fn, *inputs(case, "x"), w=w, alpha_bar=TABLE))
    for w in case["parameters"]["w"]:
        guided = run(float(w))
        golden.held(METHOD, case["file"], f"guided_w{w}", nchw(guided.x0), 5e-5)

    for name, of in (("x0_r", guided.from_noisier), ("eps_n", guided.eps), ("eps_r", guided.eps_noisier)):
        if name in stored(case):
            golden.held(METHOD, case["file"], name, nchw(of), 5e-5)


@each("analytic_guided")
def test_guided_predictions_of_an_analytic_network(case: dict[str, Any]) -> None:
    def eps_fn(x_t: Array, t: Array) -> Array:
        return 0.8 * jnp.tanh(x_t) + 0.05 * jnp.sin(7.0 * x_t) + 0.0002 * t[:, None, None, None]

    guided = norm_guided(eps_fn, *inputs(case, "x"), w=1.0, alpha_bar=TABLE)
    golden.held(METHOD, case["file"], "analytic_guided", nchw(guided.x0), 1e-5)


@each("out", "score")
def test_marks_and_scores(case: dict[str, Any]) -> None:
    made, variables = networks(32)
    own = {kind: variables[kind]["segmentation"] for kind in ("params", "batch_stats")}
    marks = jax.nn.sigmoid(jax.jit(made.segmentation.apply)(own, jnp.asarray(nhwc(stored(case)["x"]))))
    golden.held(METHOD, case["file"], "out", nchw(marks), 2e-5)
    golden.held(METHOD, case["file"], "score", core.top_mean(marks[..., 0], 50), 2e-5)


@each("focal", "smooth_l1")
def test_losses_and_their_gradients(case: dict[str, Any]) -> None:
    a = stored(case)
    p, mask = jnp.asarray(a["p"]), jnp.asarray(a["target"])
    # Where p is exactly 0 or 1 the published code cuts logarithms at -100.
    logits = jnp.clip(jnp.log(p) - jnp.log1p(-p), -100.0, 100.0)
    golden.held(METHOD, case["file"], "focal", core.focal_of_marks(logits, mask).mean(), 2e-6)
    golden.held(METHOD, case["file"], "smooth_l1", core.smooth_l1(p, mask).mean(), 2e-6)
    gradient = jax.grad(lambda p: core.smooth_l1(p, mask).mean())(p)
    golden.held(METHOD, case["file"], "smooth_l1_grad", gradient, 1e-4)
    inner = (a["p"] > 1e-3) & (a["p"] < 1 - 1e-3)
    by_logit = jax.grad(lambda z: core.focal_of_marks(z, mask).mean())(logits)
    found, expected = np.asarray(by_logit / (p * (1 - p)))[inner], a["focal_grad"][inner]
    assert inner.sum() > 0.9 * inner.size
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@each("terms", "grad_norm")
def test_a_step_of_training(case: dict[str, Any]) -> None:
    a = stored(case)
    x, *drawn = inputs(case, "augmented")
    made, variables = networks(x.shape[1])
    draws, mask = core.Draws(*drawn), jnp.asarray(a["mask"][:, 0])

    @jax.jit
    def step(damaged: Array) -> Any:
        def loss_of(params: Any) -> Any:
            passed = core.guided_forward(
                made, {**variables, "params": params}, x, draws, w=1.0, alpha_bar=TABLE, train=True
            )
            terms = core.batch_losses(core.guided_losses(passed, draws, mask), damaged)
            return core.guided_total(terms), (terms, passed)

        return jax.value_and_grad(loss_of, has_aux=True)(variables["params"])

    def norms(gradients: Any) -> list[float]:
        return [
            float(jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(gradients[part]))))
            for part in ("unet", "segmentation")
        ]

    (total, (terms, passed)), gradients = step(jnp.asarray(a["label"]) > 0)
    golden.held(METHOD, case["file"], "guided", nchw(passed.guided.x0), 5e-5)
    golden.held(METHOD, case["file"], "terms", jnp.stack(terms), 1e-5)
    golden.held(METHOD, case["file"], "total", total, 1e-5)
    golden.held(METHOD, case["file"], "grad_norm", np.array(norms(gradients)), 5e-2)
    of_unet, of_marks = (
        gradients["unet"]["out_2"]["kernel"], gradients["segmentation"]["decoder_segment"]["fin_out_0"]["kernel"],
    )  # fmt: skip
    golden.held(METHOD, case["file"], "grad_unet_out", np.transpose(of_unet, (3, 2, 0, 1)), 5e-2)
    golden.held(METHOD, case["file"], "grad_seg_out", np.transpose(of_marks, (3, 2, 0, 1)), 5e-2)
    (_, (terms, _)), gradients = step(jnp.ones(len(x), bool))
    assert float(terms.noise) == 0.0
    golden.held(METHOD, case["file"], "all_damaged_terms", jnp.stack(terms), 1e-5)
    golden.held(METHOD, case["file"], "all_damaged_grad_norm", np.array(norms(gradients)), 5e-2)


@each("shuffled", "damaged")
def test_a_picture_damaged_by_itself(case: dict[str, Any]) -> None:
    a = stored(case)
    orders = Orders(*(jnp.asarray(a[f"perm{i}"]) for i in range(5)))
    texture = shuffled(jnp.asarray(a["image"]), orders)
    np.testing.assert_array_equal(texture, a["shuffled"])
    damaged = softly_blended(
        jnp.asarray(a["picture"] / np.float32(255)), texture / 255.0, a["foreground"] * a["perlin_mask"], a["beta"]
    )
    golden.held(METHOD, case["file"], "damaged", damaged, 1e-6)


def test_the_folder_has_cases() -> None:
    assert golden.cases(METHOD, "guided_w1") and golden.cases(METHOD, "terms")
