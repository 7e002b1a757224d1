"""What the scripts of the report find in it: pictures to the last bit, points to plot, and data that end no script."""

import base64
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from parsed_report import page
from PIL import Image
from report_pages import BARE, HOSTILE, TIMES, browser, seen, sweep

from ddad_jax.engine.report.browser import Browser, pictures_data
from ddad_jax.engine.report.page import embedded
from ddad_jax.engine.report.points import points_data


def test_embedded_data_end_no_script_and_come_back_as_they_were() -> None:
    value = {HOSTILE: [HOSTILE, "\u2029", "a\udcffb", "<!--", 0.1, None, True]}
    text = embedded(value)
    assert not set("<>&\u2028\u2029\x00") & set(text)
    assert json.loads(text) == value
    assert json.loads(embedded({"nan": math.nan})) == {"nan": None}


def test_hostile_names_of_pictures_stay_text(tmp_path: Path) -> None:
    pictures = Browser([seen(1, name=HOSTILE)._replace(kind=HOSTILE)], 1, 0.5, 0.45)
    found = page(replace(BARE, browser=pictures, rows=sweep(3)), tmp_path)
    (one,) = found.data["data-pictures"]["pictures"]
    assert one["name"] == one["kind"] == HOSTILE and len(found.all("script")) == 3 and not found.all("img")


def decoded(uri: str) -> np.ndarray:
    head, content = uri.split(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def test_pictures_come_back_to_the_last_bit_with_their_times_maps_and_outlines() -> None:
    told = pictures_data(browser())
    assert [one["name"] for one in told["pictures"]] == [f"test/{i}" for i in range(6)]
    one, own = told["pictures"][5], seen(5)
    np.testing.assert_array_equal(decoded(one["image"]), own.image)
    np.testing.assert_array_equal(decoded(one["redrawn"]), own.redrawn)
    assert [step["t"] for step in one["steps"]] == list(TIMES)
    for step, (_, x0_hat) in zip(one["steps"], own.steps, strict=True):
        np.testing.assert_array_equal(decoded(step["image"]), x0_hat)
    levels, (low, high) = decoded(one["map"])[..., 0], told["scales"]["map"]
    np.testing.assert_allclose(low + levels / 255 * (high - low), np.minimum(own.map, high), atol=(high - low) / 400)
    # Pixels 5 to 8 across and 4 to 7 down: the outline runs around their middles, and of the mask half-way out.
    numbers = np.array(re.findall(r"[-0-9.]+", one["truth"]), float).reshape(-1, 2)
    assert numbers.min(0).tolist() == [5, 4] and numbers.max(0).tolist() == [9, 8]
    assert one["found"].startswith("M") and told["pictures"][0]["found"] == ""
    assert told["told"].startswith("6 of 10 test pictures.") and "--config.output.browser" in told["told"]


def test_a_map_that_is_silent_or_wholly_above_the_threshold_has_an_outline_of_its_own() -> None:
    silent = seen(3)._replace(map=np.full((16, 16), -np.inf, np.float32))
    above = seen(3)._replace(map=np.ones((16, 16), np.float32))
    both = pictures_data(Browser([silent, above, seen(0, mask=False, steps=False)], 3, 0.5, 0.45))["pictures"]
    assert both[0]["found"] == "" and decoded(both[0]["map"]).max() == 0
    assert both[1]["found"].count("M") == 1 and both[2]["mask"] is None and both[2]["truth"] == ""
    assert both[2]["steps"] == []


def test_a_page_stays_as_small_as_it_must() -> None:
    """Camera noise does not compress: first reconstructions lose a little, then the surest verdicts are left out."""
    rng = np.random.default_rng(0)

    def noisy(i: int) -> Any:
        x0_hat = rng.integers(0, 256, (64, 64, 3), np.uint8)
        return seen(i, size=64)._replace(redrawn=x0_hat, steps=[(t, x0_hat) for t in TIMES])

    pictures = Browser([noisy(i) for i in range(6)], 6, 0.5, 0.45)
    whole, lossy, few = (pictures_data(pictures, most_bytes=most) for most in (10**6, 300_000, 60_000))
    assert [len(told["pictures"]) for told in (whole, lossy)] == [6, 6] and 1 <= len(few["pictures"]) < 6
    assert "small loss" in lossy["told"] and "small loss" not in whole["told"] and "of 6" not in whole["told"]
    assert f"{len(few['pictures'])} of 6 test pictures." in few["told"] and "output.browser" not in few["told"]
    assert len(json.dumps(lossy)) < 1.4 * 300_000 and len(json.dumps(few)) < 1.4 * 60_000 + 20_000
    np.testing.assert_array_equal(decoded(lossy["pictures"][1]["image"]), pictures.pictures[1].image)


def test_the_first_plots_show_accuracy_over_cost_and_over_a_setting() -> None:
    assert points_data(sweep(), None)["plots"] == [
        {"x": "ms_per_image", "y": "image_auroc", "colour": "w"},
        {"x": "w", "y": "pixel_auroc", "colour": "steps"},
    ]
    assert points_data(sweep(1), None)["plots"] == []
    alike = [{"w": 1.0, "image_auroc": 0.5, "selected": i == 0} for i in range(3)]
    assert points_data(alike, None)["plots"] == []
