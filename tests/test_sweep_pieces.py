"""A sweep hands over point by point or piece by piece, and holds no more than a chunk."""

import itertools
import math
import time
import tracemalloc
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from small_sweep import GRID, LAYERS, SIZE, N, assert_same, pictures, program, reconstructed, swept

from ddad_jax.distance_maps import blurred
from ddad_jax.points import ReconPoint
from ddad_jax.spilled import Spilled
from ddad_jax.sweep import Distances, sweep_distances, sweep_pieces


def test_points_come_one_by_one_and_memory_holds_one_chunk() -> None:
    points, images = GRID, pictures()
    done: list[int] = []
    pass_over = sweep_distances(program(), images, points, chunk=4, timer=lambda: 0.0, progress=done.append)
    for i, point in enumerate(points):
        assert next(pass_over)[0] == point
        # No more is reconstructed before a point is handed over than the chunks that point lies in.
        group = [p for p in points[: i + 1] if p.steps == point.steps]
        before = sum(p.steps != point.steps for p in points[:i]) * len(images)
        assert sum(done) - before <= math.ceil(len(group) * len(images) / 4) * 4
    assert next(pass_over, None) is None
    assert sum(done) == len(points) * len(images)


def test_a_chunk_may_span_several_points() -> None:
    points = GRID[:8]
    found = list(sweep_distances(program(), pictures(2), points, chunk=7, timer=lambda: 0.0))
    assert [point for point, _ in found] == points
    assert all(distances.x0 is None and distances.pixel.shape == (2, SIZE, SIZE) for _, distances in found)


@pytest.mark.parametrize("piece", [0, 2, 5, 99])
@pytest.mark.parametrize("chunk", [1, 4, 7])
def test_pieces_put_together_are_the_whole(piece: int, chunk: int) -> None:
    points, images = GRID[-3:], pictures()
    whole, parts = swept(images, points, chunk), dict[ReconPoint, list[Distances]]()
    how: dict[str, Any] = {"keep_x0": True, "timer": itertools.count().__next__}
    for point, rows, part in sweep_pieces(program(), images, points, chunk=chunk, piece=piece, **how):
        own = parts.setdefault(point, [])
        assert rows.start == sum(len(one.pixel) for one in own) and rows.stop - rows.start == len(part.pixel)
        assert not piece or rows.stop == min(rows.start + piece, N)
        own.append(part)
    assert list(parts) == points
    for point, own in parts.items():
        joined = jax.tree.map(lambda *rows: np.concatenate(rows), *own)
        np.testing.assert_array_equal(joined.x0, whole[point].x0)
        np.testing.assert_array_equal(joined.pixel, whole[point].pixel)
        for layer in LAYERS:
            np.testing.assert_array_equal(joined.features[layer], whole[point].features[layer])


def test_reconstructions_of_some_images_are_kept_alone() -> None:
    points, images, asked = GRID[-2:], pictures(), np.array([True, False, False, True, True])
    how: dict[str, Any] = {"chunk": 4, "timer": lambda: 0.0}
    some = dict(sweep_distances(program(), images, points, keep_x0=asked, **how))
    for point, distances in swept(images, points, 4).items():
        np.testing.assert_array_equal(reconstructed(some[point]), reconstructed(distances)[asked])
        np.testing.assert_array_equal(some[point].pixel, distances.pixel)
    none = dict(sweep_distances(program(), images, points, keep_x0=np.zeros(N, bool), **how))
    assert all(distances.x0 is None for distances in none.values())


def test_distances_in_files_are_the_same_and_leave_nothing_behind(tmp_path: Path) -> None:
    points, images = GRID[-2:], pictures()
    in_files = sweep_distances(
        program(), images, points, chunk=4, keep_x0=True, spill=tmp_path, timer=itertools.count().__next__
    )
    for (_, lies), (_, whole) in zip(in_files, swept(images, points, 4).items(), strict=True):
        assert isinstance(lies.pixel, Spilled) and isinstance(lies.x0, Spilled)
        assert_same(lies, whole)
        np.testing.assert_array_equal(np.asarray(lies.x0), whole.x0)
        for read, kept in zip(blurred(lies, LAYERS, 1.5), blurred(whole, LAYERS, 1.5), strict=True):
            np.testing.assert_array_equal(read, kept)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("n", "piece"), [(8, 0), (64, 0), (64, 4)])
def test_memory_of_a_sweep_does_not_grow_with_its_images(n: int, piece: int, tmp_path: Path) -> None:
    points, images, chunk = GRID[-2:], pictures(n), 4
    for _ in sweep_distances(program(), images, points, chunk=chunk, keep_x0=True, timer=lambda: 0.0):
        pass  # compiled outside of what is measured
    tracemalloc.start()
    try:
        how: dict[str, Any] = {"chunk": chunk, "keep_x0": True, "timer": lambda: 0.0}
        if piece:
            for _ in sweep_pieces(program(), images, points, piece=piece, **how):
                pass
        else:
            for _ in sweep_distances(program(), images, points, spill=tmp_path, **how):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    one = (
        SIZE * SIZE * (3 * 4 + 3 * 4 + 3 * 2 + 4)
    )  # bytes of a pair: seen twice as float32, kept as float16, distances
    assert peak < 8 * chunk * one + n * 1000, f"{peak} bytes for {n} images"


@pytest.mark.parametrize("how", [{"ahead": 2}, {"features_bytes": 0}], ids=["given ahead", "features asked anew"])
def test_what_is_shared_and_given_ahead_does_not_show(how: dict[str, Any]) -> None:
    images, points = pictures(5), GRID[:4]
    asked = {points[1]: np.array([0, 1, 0, 0, 1], bool), points[3]: np.ones(5, bool)}
    begun: dict[str, Any] = {"chunk": 4, "keep_x0": asked, "timer": itertools.count().__next__}
    plain, other = (dict(sweep_distances(program(), images, points, **begun, **more)) for more in ({}, how))
    assert list(plain) == list(other) == points
    for point in points:
        assert_same(plain[point], other[point])
        np.testing.assert_array_equal(plain[point].seconds > 0, True)
    assert plain[points[0]].x0 is None is other[points[0]].x0, "of a point that is asked for none"
    for point, own in asked.items():
        assert len(reconstructed(plain[point])) == own.sum()
        np.testing.assert_allclose(reconstructed(plain[point]), reconstructed(other[point]), atol=1e-3)
        np.testing.assert_allclose(
            reconstructed(plain[point]), reconstructed(swept(images, points, 4)[point])[own], atol=1e-3
        )


def test_what_the_host_does_between_chunks_is_no_time_of_theirs() -> None:
    images, points = pictures(4), GRID[:6]
    list(sweep_distances(program(), images, points, chunk=4, timer=time.perf_counter, ahead=1))
    took = []
    for _, distances in sweep_distances(program(), images, points, chunk=4, timer=time.perf_counter, ahead=1):
        took.append(distances.seconds.sum())
        time.sleep(0.2)  # as judging a point does
    assert len(took) == len(points) and np.median(took) < 0.1
