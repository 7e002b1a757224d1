"""The program finds the batches that ``batch_indices`` says, mirrored as the coins say, wherever pictures lie."""

from typing import Any

import jax
import numpy as np
import pytest

from ddad_jax.data import to_float
from ddad_jax.data.batches import batch_indices
from ddad_jax.engine.methods import training_pictures
from ddad_jax.engine.methods.training_pictures import Ahead, batch_fn, coins_of, fed
from ddad_jax.engine.settings.training import DeviceSettings

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 4, 6, 3), np.uint8)


def expected(step: int, flips: str) -> np.ndarray:
    images = IMAGES[batch_indices(step, 10, 4, 7)]
    sideways, upside_down = coins_of(7, step, 4)
    for i in range(4):
        images[i] = images[i][:, ::-1] if "h" in flips and sideways[i] else images[i]
        images[i] = images[i][::-1] if "v" in flips and upside_down[i] else images[i]
    return np.asarray(to_float(images))


@pytest.mark.parametrize("where", ["on the device", "streamed"])
def test_batches_are_those_of_their_numbers(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if where == "streamed":
        monkeypatch.setattr(training_pictures, "fits", lambda images, allowed: False)
    for flips in ("", "h", "hv"):
        one: Any = jax.jit(lambda batches, i, flips=flips: batch_fn(batches, flips)(i))
        with fed(IMAGES, 4, 7, flips, DeviceSettings(dispatch=3), None) as given:
            assert given.most == 3
            for first, count in ((5, 1), (6, 3), (9, 2)):
                batches = given.batches(first, count)
                assert isinstance(batches.pictures, tuple) == (where == "streamed")
                for i in range(count):
                    np.testing.assert_allclose(one(batches, i), expected(first + i, flips), atol=1e-6)


def test_what_may_not_lie_there_is_streamed_in_as_many_batches_as_may() -> None:
    large = np.zeros((3, 512, 512, 3), np.uint8)  # 0.75 MiB each
    for mib, on_device, most in ((3, True, 50), (2, False, 1), (0, False, 1)):
        with fed(large, 1, 0, "", DeviceSettings(pictures_mib=mib), None) as given:
            assert given.most == most
            assert isinstance(given.batches(0, 1).pictures, tuple) != on_device


def test_a_failure_in_the_thread_is_raised_where_its_batch_is_asked_for() -> None:
    def make(step: int) -> int:
        if step == 4:
            raise OSError("gone")
        return step

    ahead = Ahead(make, 2, 3)
    assert [ahead(), ahead()] == [2, 3]
    with pytest.raises(OSError, match="gone"):
        ahead()
    ahead.close()


def test_coins_are_fair_and_a_function_of_seed_and_step() -> None:
    coins = coins_of(0, 3, 512)
    assert coins.shape == (2, 512) and (abs(coins.mean(1) - 0.5) < 0.1).all()
    np.testing.assert_array_equal(coins, coins_of(0, 3, 512))
    assert (coins != coins_of(0, 4, 512)).any() and (coins != coins_of(1, 3, 512)).any()
