from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.attention import ATTENTION, attention
from ddad_jax.errors import InputError
from ddad_jax.types import Array, Variables
from ddad_jax.unet import (
    GroupNorm32,
    ResBlock,
    UNet,
    channels_to_pixels,
    pixels_to_channels,
    sinusoid,
)

SMALL = UNet(16, base=64, channel_mult=(1, 2), res_blocks=1, attention_sizes=(8,), heads=2)
RNG = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return jnp.asarray(RNG.standard_normal(shape, np.float32))


@cache
def shapes(net: UNet, channels: int = 3) -> tuple[Any, Variables]:
    """What the network would return and hold, without computing anything."""
    x = jnp.zeros((1, net.image_size, net.image_size, channels))
    return jax.eval_shape(net.init_with_output, jax.random.key(0), x, jnp.zeros((1,), jnp.int32))


def size_of(variables: Variables) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def drawn_like(template: Variables) -> Variables:
    """Weights that are nowhere zero, so that every part of the network shows in its output."""

    def draw(leaf: jax.ShapeDtypeStruct) -> Array:
        scale = np.sqrt(1.0 / np.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.5
        return scale * normal(*leaf.shape)

    return jax.tree.map(draw, template)


@pytest.fixture(scope="module")
def variables() -> Variables:
    return drawn_like(shapes(SMALL)[1])


apply = jax.jit(SMALL.apply)


@pytest.mark.parametrize(
    ("net", "parameters"),
    [
        (UNet(256, 64, heads=4), 32_952_707),
        (UNet(256, 32, heads=2, dropout=0.3), 8_257_731),
        (UNet(128, 64), 25.02e6),
        pytest.param(UNet(64, 64), 24.25e6, marks=pytest.mark.slow),
        pytest.param(UNet(32, 64), None, marks=pytest.mark.slow),
        pytest.param(UNet(512, 32, heads=2), None, marks=pytest.mark.slow),
    ],
    ids=lambda v: f"{v.image_size}px-base{v.base}" if isinstance(v, UNet) else None,
)
def test_every_size_builds_with_the_published_number_of_parameters(net: UNet, parameters: float | None) -> None:
    out, variables = shapes(net)
    assert out.shape == (1, net.image_size, net.image_size, 3) and out.dtype == jnp.float32
    if isinstance(parameters, int):
        assert size_of(variables) == parameters
    elif parameters:
        assert size_of(variables) == pytest.approx(parameters, abs=0.005e6)


def test_the_output_at_init_is_exactly_zero_and_biases_are_drawn_as_weights_are() -> None:
    net, x, t = UNet(8, 8, channel_mult=(1,), res_blocks=1, heads=2), normal(2, 8, 8, 3), jnp.array([0, 999])
    init = jax.jit(net.init_with_output)
    out, drawn = init(jax.random.key(0, impl="rbg"), x, t)  # compiles sooner than the default generator
    np.testing.assert_array_equal(out, 0.0)
    first = drawn["params"]["down_0_0"]
    for leaf in (first["kernel"], first["bias"]):
        assert 0.5 / np.sqrt(27) < np.abs(leaf).max() <= 1 / np.sqrt(27)


def test_every_image_has_its_own_time_and_it_matters(variables: Variables) -> None:
    x = normal(2, 16, 16, 3)
    same, mixed = apply(variables, x, jnp.array([250, 250])), apply(variables, x, jnp.array([250, 3]))
    np.testing.assert_allclose(same[0], mixed[0], rtol=1e-5, atol=1e-5)
    assert np.abs(same[1] - mixed[1]).max() > 0.01


def test_a_block_whose_groups_are_single_channels_cannot_see_the_time() -> None:
    """As published at 32 channels (DDAD-S, first levels): the norm after it removes what a time adds to a channel."""
    x, early, late = normal(1, 4, 4, 32), normal(1, 16), normal(1, 16)
    for features, sees in ((32, False), (64, True)):
        block = ResBlock(features)
        template = jax.eval_shape(block.init, jax.random.key(0), x, early)
        run = jax.jit(partial(block.apply, drawn_like(template)))
        assert (np.abs(run(x, early) - run(x, late)).max() > 1e-3) == sees


def test_an_image_does_not_depend_on_its_batch_mates(variables: Variables) -> None:
    x, t = normal(2, 16, 16, 3), jnp.array([10, 600])
    together = apply(variables, x, t)
    other_mate = apply(variables, x.at[1].multiply(-3.0), t)
    np.testing.assert_allclose(together[0], other_mate[0], rtol=1e-5, atol=1e-5)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="32x32.*16 px"):
        jax.eval_shape(SMALL.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), jnp.zeros((1,)))


@pytest.mark.parametrize(
    "net", [UNet(224), UNet(20, channel_mult=(1, 2, 2, 2)), UNet(65, patch=2, channel_mult=(1,)), UNet(256, patch=16)]
)
def test_sizes_that_the_levels_do_not_divide_are_refused(net: UNet) -> None:
    with pytest.raises(InputError, match=rf"image_size = {net.image_size} with patch = {net.patch}: expected"):
        shapes(net)


# Deviation: patch


@pytest.mark.parametrize("p", [1, 2, 4])
def test_patches_become_channels_and_pixels_again(p: int) -> None:
    x = normal(2, 8, 8, 3)
    folded = pixels_to_channels(x, p)
    assert folded.shape == (2, 8 // p, 8 // p, 3 * p * p)
    np.testing.assert_array_equal(folded[:, 0, 0].reshape(2, p, p, 3), x[:, :p, :p])
    np.testing.assert_array_equal(channels_to_pixels(folded, p), x)


def test_a_patched_network_is_the_smaller_one_with_other_ends() -> None:
    out, patched = shapes(SMALL.clone(image_size=32, patch=2))
    _, plain = shapes(SMALL)
    assert out.shape == (1, 32, 32, 3)
    patched, plain = (dict(v["params"]) for v in (patched, plain))
    ends = {name: (patched.pop(name), plain.pop(name)) for name in ("down_0_0", "out_2")}
    assert jax.tree.map(lambda v: v.shape, patched) == jax.tree.map(lambda v: v.shape, plain)
    assert ends["down_0_0"][0]["kernel"].shape == (3, 3, 12, 64)
    assert ends["out_2"][0]["bias"].shape == (12,)
    assert shapes(UNet(512, 32, heads=2, patch=2))[0].shape == (1, 512, 512, 3)


# Deviation: deep features of an earlier call

STAGES = 4
"""Of each path of ``SMALL``: the first convolution, a block, the way down, a block."""


@partial(jax.jit, static_argnames="shallow")
def with_deep(variables: Variables, x: Array, t: Array, deep: Array | None = None, *, shallow: int) -> Any:
    return SMALL.apply(variables, x, t, deep, shallow=shallow, method="with_deep")


@pytest.mark.parametrize("shallow", [1, 2, STAGES])
def test_reused_features_of_the_same_input_change_nothing_and_cost_no_deep_layer(
    variables: Variables, shallow: int
) -> None:
    x, t = normal(2, 16, 16, 3), jnp.array([10, 600])
    plain, (whole, deep) = apply(variables, x, t), with_deep(variables, x, t, shallow=shallow)
    np.testing.assert_allclose(whole, plain, rtol=1e-5, atol=1e-5)
    computed = [f"down_{i}_" for i in range(shallow)] + [f"up_{i}_" for i in range(STAGES - shallow, STAGES)]
    computed += ["time_embedding", "out_"]
    params = variables["params"]
    # Whatever layer left out had a say would make the output nan.
    lost = {
        name: p if name.startswith(tuple(computed)) else jax.tree.map(lambda leaf: leaf + jnp.nan, p)
        for name, p in params.items()
    }
    assert any(name.startswith("middle") for name in lost.keys() - {n for n in lost if lost[n] is params[n]})
    eps, same = with_deep({"params": lost}, x, t, deep, shallow=shallow)
    np.testing.assert_allclose(eps, plain, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(same, deep)


def test_a_call_with_reused_features_sees_its_own_image_and_time(variables: Variables) -> None:
    x, t = normal(2, 16, 16, 3), jnp.array([10, 600])
    eps, deep = with_deep(variables, x, t, shallow=1)
    for x_t, at in ((x + 0.5, t), (x, t + 100)):
        moved, _ = with_deep(variables, x_t, at, deep, shallow=1)
        assert np.abs(moved - eps).max() > 0.01
        assert np.abs(moved - apply(variables, x_t, at)).max() > 0.01


def test_the_first_stages_are_levels_of_the_network() -> None:
    """With as many stages as a level has, the features are of the next level, at the size of this one."""
    net, x = UNet(32, 32, channel_mult=(1, 2, 3), res_blocks=2, heads=2), jnp.zeros((1, 32, 32, 3))
    variables = shapes(net)[1]
    for shallow, shape in ((1, (32, 32, 32)), (3, (32, 32, 64)), (6, (16, 16, 96)), (9, (8, 8, 96))):
        call = partial(net.apply, shallow=shallow, method="with_deep")
        _, deep = jax.eval_shape(call, variables, x, jnp.zeros(1, int))
        assert deep.shape == (1, *shape)


@pytest.mark.parametrize("shallow", [0, STAGES + 1])
def test_more_stages_than_there_are_cannot_be_kept_shallow(variables: Variables, shallow: int) -> None:
    with pytest.raises(InputError, match=f"shallow = {shallow}: expected 1 to 4"):
        jax.eval_shape(partial(with_deep, shallow=shallow), variables, jnp.zeros((1, 16, 16, 3)), jnp.zeros(1, int))


# bfloat16 and dropout


def test_bfloat16_computes_near_float32_and_keeps_float32_weights(variables: Variables) -> None:
    x, t = normal(2, 16, 16, 3), jnp.array([10, 600])
    half = SMALL.clone(dtype=jnp.bfloat16)
    got = np.asarray(jax.jit(half.apply)(variables, x, t))
    exact = np.asarray(apply(variables, x, t))
    assert got.dtype == np.float32
    difference = np.sqrt(np.mean((got - exact) ** 2) / np.mean(exact**2))
    assert 1e-5 < difference < 0.03
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes(half)[1])} == {jnp.dtype(jnp.float32)}


def test_in_bfloat16_ends_time_and_normalisations_stay_float32(variables: Variables) -> None:
    """Read from the program: the type of each convolution and product, and of each reduction."""
    half = SMALL.clone(dtype=jnp.bfloat16)
    jaxpr = jax.make_jaxpr(half.apply)(variables, jnp.zeros((1, 16, 16, 3)), jnp.zeros(1, jnp.int32))
    # The pictures' own arithmetic, before and behind the network, is that of jaxpr's inputs and outputs.
    assert [str(v.aval.dtype) for v in jaxpr.jaxpr.outvars][0] == "float32"
    types: dict[str, set[tuple[str, ...]]] = {}
    for equation in jaxpr.jaxpr.eqns:
        name, layers = equation.primitive.name, str(equation.source_info.name_stack).split("/")
        ins = tuple(str(v.aval.dtype) for v in equation.invars)
        if name in ("conv_general_dilated", "dot_general"):
            exact = next((layer for layer in ("time_embedding", "out_2") if layer in layers), "")
            types.setdefault(exact or "inside", set()).add(ins)
        elif name in ("reduce_sum", "rsqrt", "exp") and layers[-1] != "":
            types.setdefault(name, set()).add(ins)
    f32, bf16 = ("float32",) * 2, ("bfloat16",) * 2
    assert types["time_embedding"] == types["out_2"] == {f32}
    assert types["inside"] == {bf16}
    assert types["reduce_sum"] == types["rsqrt"] == types["exp"] == {f32[:1]}


def test_dropout_acts_in_training_alone(key: jax.Array) -> None:
    block, x, emb = ResBlock(64, dropout=0.5), normal(1, 4, 4, 64), normal(1, 16)
    variables = drawn_like(jax.eval_shape(block.init, key, x, emb))
    train = jax.jit(lambda k: block.apply(variables, x, emb, train=True, rngs={"dropout": k}))
    test = jax.jit(partial(block.apply, variables))
    once, again = np.asarray(train(key)), np.asarray(train(jax.random.fold_in(key, 1)))
    np.testing.assert_array_equal(once, train(key))
    assert min(np.abs(once - again).max(), np.abs(once - test(x, emb)).max()) > 0.1
    np.testing.assert_array_equal(test(x, emb), jax.jit(partial(ResBlock(64).apply, variables))(x, emb))


def test_every_block_of_the_network_drops_in_training_and_none_in_use(variables: Variables, key: jax.Array) -> None:
    net, x, t = SMALL.clone(dropout=0.5), jnp.zeros((1, 16, 16, 3)), jnp.zeros((1,))
    blocks = sum("out_layers_3" in block for block in variables["params"].values())
    for train in (True, False):
        idle: list[bool | None] = []

        def watch(call: Any, args: Any, kwargs: Any, context: Any, idle: list[bool | None] = idle) -> Any:
            if isinstance(context.module, nn.Dropout):
                assert context.module.rate == 0.5
                idle.append(context.module.deterministic)
            return call(*args, **kwargs)

        with nn.intercept_methods(watch):
            jax.eval_shape(partial(net.apply, train=train, rngs={"dropout": key}), variables, x, t)
        assert idle == [not train] * blocks


# Parts


def test_the_sinusoid_is_sines_then_cosines_of_the_raw_time() -> None:
    t, k = np.array([0, 7, 999]), np.arange(8)
    angle = t[:, None] * np.exp(-k * np.log(10_000) / 8)
    expected = np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)
    np.testing.assert_allclose(sinusoid(jnp.asarray(t), 16), expected, atol=1e-4)


@pytest.mark.parametrize("channels", [32, 64, 96])
def test_group_norm_and_its_gradient_are_those_of_flax(channels: int) -> None:
    """Its one pass over data centred on a pixel must not show, least of all in the gradient."""
    ours, flax = GroupNorm32(), nn.GroupNorm(num_groups=32, epsilon=1e-5)
    x, cotangent = 2.0 + normal(2, 6, 6, channels), normal(2, 6, 6, channels)
    params = {"params": {"scale": 1.0 + 0.1 * normal(channels), "bias": normal(channels)}}

    def value_and_gradients(norm: nn.Module) -> Any:
        out, back = jax.vjp(norm.apply, params, x)
        return out, back(cotangent)

    for got, expected in zip(
        *(jax.tree.leaves(jax.jit(value_and_gradients, static_argnums=0)(n)) for n in (ours, flax)), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-5 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize("channels", [48, 16, 8])
def test_group_norm_has_fewer_groups_where_32_do_not_fit(channels: int) -> None:
    x = np.asarray(normal(2, 5, 5, channels), np.float64)
    groups = np.gcd(32, channels)
    g = x.reshape(2, 25, groups, -1)
    expected = (g - g.mean((1, 3), keepdims=True)) / np.sqrt(g.var((1, 3), keepdims=True) + 1e-5)
    params = {"params": {"scale": jnp.ones(channels), "bias": jnp.zeros(channels)}}
    got: Any = jax.jit(GroupNorm32().apply)(params, np.float32(x))
    np.testing.assert_allclose(got, expected.reshape(x.shape), atol=1e-5)


def test_with_one_channel_a_group_a_block_cannot_see_the_time() -> None:
    """Deviation: groups. Published, 32 groups of 32 channels: a constant a channel is taken out again."""
    x, embeddings = normal(1, 6, 6, 32), normal(2, 16)

    def moved(groups: int) -> float:
        block = ResBlock(32, groups=groups)
        params = jax.jit(block.init)(jax.random.key(0), x, embeddings[:1])["params"]
        # The last convolution is zero at the start, which hides what comes before it.
        params["out_layers_3"]["kernel"] = 0.1 + jnp.zeros_like(params["out_layers_3"]["kernel"])
        first, second = (jax.jit(block.apply)({"params": params}, x, e[None]) for e in embeddings)
        return float(jnp.abs(jnp.asarray(first) - jnp.asarray(second)).max())

    assert moved(32) < 1e-4
    assert moved(8) > 1e-2


def test_group_norm_is_exact_far_from_zero_and_on_a_constant() -> None:
    centred = np.asarray(normal(1, 32, 32, 32), np.float64)
    x = np.float32(300.0 + centred)
    expected = (x - x.mean((1, 2), dtype=np.float64)) / np.sqrt(x.var((1, 2), dtype=np.float64) + 1e-5)
    norm: Any = jax.jit(GroupNorm32().apply)
    params = {"params": {"scale": jnp.ones(32), "bias": jnp.zeros(32)}}
    np.testing.assert_allclose(norm(params, x), expected, atol=3e-4)
    np.testing.assert_allclose(norm(params, jnp.full((1, 8, 8, 32), 7.0)), 0.0, atol=1e-3)


# Attention and memory


def test_attention_is_its_formula_in_either_type() -> None:
    q, k, v = (normal(2, 6, 2, 8) for _ in range(3))
    logits = np.einsum("bqhd,bkhd->bhqk", q, k, dtype=np.float64) / np.sqrt(8)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    expected = np.einsum("bhqk,bkhd->bqhd", weights / weights.sum(-1, keepdims=True), v)
    for how in ATTENTION:
        np.testing.assert_allclose(attention(q, k, v, how), expected, atol=2e-6)
        half = attention(*(a.astype(jnp.bfloat16) for a in (q, k, v)), how)
        assert half.dtype == jnp.bfloat16
        np.testing.assert_allclose(half.astype(jnp.float32), expected, atol=0.03)
    with pytest.raises(InputError, match="attention = 'flash': expected one of auto, plain"):
        attention(q, k, v, "flash")


def test_flash_attention_is_taken_where_it_exists_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, ...]] = []

    def flash(q: Array, k: Array, v: Array, *, implementation: str) -> Array:
        assert implementation == "cudnn"
        taken.append(q.shape)
        return q

    monkeypatch.setattr(jax.nn, "dot_product_attention", flash)

    def takes(dtype: Any, d: int = 32, how: str = "auto") -> bool:
        taken.clear()
        jax.eval_shape(lambda q: attention(q, q, q, how), jax.ShapeDtypeStruct((2, 4, 1, d), dtype))
        return bool(taken)

    assert not takes(jnp.bfloat16), "not on this machine"
    monkeypatch.setattr("ddad_jax.attention._has_flash_attention", lambda: True)
    assert takes(jnp.bfloat16) and takes(jnp.float16)
    assert not takes(jnp.float32) and not takes(jnp.bfloat16, d=12) and not takes(jnp.bfloat16, d=256)
    assert not takes(jnp.bfloat16, how="plain")
    (b,) = jax.export.symbolic_shape("b")
    some = jax.ShapeDtypeStruct((b, 4, 1, 32), jnp.bfloat16)
    taken.clear()
    jax.export.export(jax.jit(lambda q: attention(q, q, q)))(some)
    assert not taken


def test_rematerialised_blocks_have_the_same_gradient_and_keep_less_for_it() -> None:
    net = UNet(8, base=8, channel_mult=(1,), res_blocks=1, attention_sizes=())
    x, t, to = normal(2, 8, 8, 3), jnp.array([3, 900]), normal(2, 8, 8, 3)
    given = drawn_like(shapes(net)[1])
    found, kept = [], []
    for each in (net, net.clone(remat=True)):
        assert jax.tree.structure(shapes(each)[1]) == jax.tree.structure(given)

        def loss(variables: Variables, each: UNet = each) -> Array:
            return ((each.apply(variables, x, t) - to) ** 2).mean()

        found.append(jax.jit(jax.grad(loss))(given))
        backward = jax.eval_shape(lambda v, loss=loss: jax.vjp(loss, v)[1], given)
        kept.append(size_of(backward) - size_of(given))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *found)
    assert 0 < kept[1] < 0.3 * kept[0]
