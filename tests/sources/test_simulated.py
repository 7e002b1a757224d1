"""The simulated station: a pure function of its settings, one can a video, the truth with every frame."""

import numpy as np
import pytest

from ddad_jax.data.can_render import PRODUCTS
from ddad_jax.errors import InputError
from ddad_jax.sources import Bad, Frame, SourceLost
from ddad_jax.sources.simulated import STATES, Station, StationSettings


def film(**settings: object) -> list[Frame]:
    made = Station(StationSettings(**{"product": "winter_melon", "size": 32, "seconds": 3.0} | settings))  # type: ignore
    got = list(made.frames())
    assert all(isinstance(frame, Frame) for frame in got)
    return [frame for frame in got if isinstance(frame, Frame)]


def same(a: list[Frame], b: list[Frame]) -> bool:
    return all(np.array_equal(x.color, y.color) for x, y in zip(a, b, strict=True))


def test_is_a_function_of_its_settings() -> None:
    first = film(state="dent", video=2)
    assert same(first, film(state="dent", video=2))
    assert [(f.index, f.seconds, f.color.shape, f.color.dtype) for f in first] == [
        (i, float(i), (32, 32, 3), np.uint8) for i in range(3)
    ]
    for other in ({"video": 3}, {"seed": 1}, {"state": "normal"}, {"light": 1.3}, {"noise": 3.0}, {"rpm": 1.0}):
        assert not same(first, film(**{"state": "dent", "video": 2} | other)), other


def test_longer_and_faster_videos_begin_alike() -> None:
    short, long = film(), film(seconds=5.0)
    assert len(long) == 5 and same(short, long[:3])
    assert len(film(fps=4.0)) == 12 and film(fps=4.0)[4].seconds == 1.0


def test_a_turn_brings_the_can_back() -> None:
    first, *_, half, last = film(seconds=31, noise=0.0, fps=0.5, rpm=2.0)[::7][:1] + film(seconds=31, noise=0.0)[15::15]
    change = [np.abs(first.color.astype(int) - f.color).mean() for f in (half, last)]
    assert change[1] < 0.5 * change[0], "after 30 s the can looks as at first, after 15 s it shows its other side"


@pytest.mark.parametrize("state", ["dent", "paint"])
@pytest.mark.parametrize("product", PRODUCTS)
def test_the_defect_turns_with_the_can(product: str, state: str) -> None:
    for video in range(2):
        source = Station(StationSettings(product, state=state, video=video, size=64, fps=0.5))
        areas = [int(source.truth(frame.index).sum()) for frame in source.frames()]
        assert len(areas) == 15
        seen = np.flatnonzero(areas)
        # Where it is just to be seen noise decides, so that the arc has gaps; but it is one arc.
        away = np.diff(np.append(seen, seen[0] + 15)).max() - 1
        assert len(seen) >= 1 and away >= 5, "in view for a part of the turn only, and out of view without a break"
        assert max(areas) >= 20
    assert source.truth(3).shape == (64, 64) and source.truth(3).dtype == bool


def test_the_truth_of_any_frame_at_any_time() -> None:
    source = Station(StationSettings("coffee", state="paint", size=32, seconds=30, fps=0.2))
    after = [source.truth(frame.index).copy() for frame in source.frames()]
    again = [source.truth(i) for i in range(6)]
    assert all(np.array_equal(a, b) for a, b in zip(after, again, strict=True)) and any(a.any() for a in after)


@pytest.mark.parametrize("state", ["normal", "hard"])
def test_sound_cans_have_no_defect(state: str) -> None:
    source = Station(StationSettings("lemon_soda", state=state, size=32, seconds=3))
    assert not any(source.truth(frame.index).any() for frame in source.frames())


def test_all_states_of_a_video_stand_before_one_camera_in_one_light() -> None:
    # The upper corners show wall only, whatever stands on the disk.
    corner = {state: np.mean([f.color[:6] for f in film(state=state, video=1, noise=0.0)]) for state in STATES}
    other = np.mean([f.color[:6] for f in film(video=2, noise=0.0)])
    assert abs(corner["normal"] - corner["dent"]) < 1.5 and abs(corner["normal"] - corner["paint"]) < 1.5
    assert abs(corner["normal"] - other) > 2
    assert abs(corner["hard"] - corner["normal"]) > 4, "hard: the light is another"


def test_a_can_is_another_in_each_video_unless_it_is_asked_for() -> None:
    def defects(**settings: int) -> Station:
        return Station(StationSettings("coffee", state="dent", size=32, **settings))

    assert defects(video=1)._video.defect != defects(video=2)._video.defect
    assert defects(video=1, can=7)._video.defect == defects(video=2, can=7)._video.defect
    assert defects(video=7)._video.defect == defects(video=1, can=7)._video.defect
    assert defects(video=4).settings["can"] == 4


def test_a_live_station_comes_in_time_and_does_not_wait() -> None:
    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    settings = StationSettings("coffee", size=32, fps=2.0, seconds=6.0, live=1)
    source = Station(settings, clock=lambda: now[0], sleep=sleep)
    assert source.live
    frames = source.frames()
    assert [next(frames).index for _ in range(3)] == [0, 1, 2] and slept == [0.5, 0.5]
    now[0] += 2.6  # whoever looks away for so long misses frames 3 to 6
    late = next(frames)
    assert isinstance(late, Frame) and (late.index, late.seconds) == (7, 3.5)


def test_unplugged_after_so_many_frames_and_goes_on_from_there() -> None:
    settings = StationSettings("coffee", size=32, seconds=7.0, unplug=3)
    first = Station(settings)
    got = list[Frame | Bad]()
    with pytest.raises(SourceLost, match="unplug"):
        for frame in first.frames():
            got.append(frame)
    assert len(got) == 3
    whole = list(Station(settings._replace(unplug=0)).frames())
    rest = Station(settings, start=6)
    (last,) = rest.frames()
    assert isinstance(last, Frame) and last.index == 0 and isinstance(whole[6], Frame)
    assert np.array_equal(last.color, whole[6].color)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"product": "tea"}, "tea"), ({"state": "rust"}, "rust"), ({"size": 16}, "16"), ({"seed": -1}, "seed"),
        ({"video": -1}, "video"), ({"fps": 0.0}, "fps"), ({"seconds": float("nan")}, "seconds"),
        ({"light": -1.0}, "light"), ({"noise": float("nan")}, "noise"), ({"can": -2}, "can"), ({"live": 2}, "live"),
        ({"fps": 1e300, "live": 1}, "fps=1e\\+300: expected at most 1000"), ({"seconds": 1e308}, "seconds=1e"),
        ({"noise": 1e308}, "noise"), ({"size": 1_000_000}, "size=1000000: expected at most 4096"),
        ({"blur": 1e308}, "blur"), ({"tilt": 1e9}, "tilt"), ({"rpm": -1e308}, "rpm"), ({"light": 1e9}, "light"),
    ],
)  # fmt: skip
def test_what_cannot_be_filmed_is_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Station(StationSettings(**{"product": "coffee"} | wrong))  # type: ignore


def test_ends_when_closed() -> None:
    source = Station(StationSettings("coffee", size=32))
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []
