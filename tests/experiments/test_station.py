"""The paper's data on the simulated station: the right recordings, filmed once, cameras and lights apart."""

import threading
from pathlib import Path

import pytest

from ddad_jax.data.captured import recordings_of
from ddad_jax.data.folder import mvtec_folder
from ddad_jax.engine.captures import filming
from ddad_jax.engine.captures.filming import film_data_set, recordings
from ddad_jax.engine.captures.frame_choice import Wanted
from ddad_jax.engine.captures.recording import checked_manifest, read_capture
from ddad_jax.engine.captures.writing import CaptureOptions, capture
from ddad_jax.errors import InputError
from experiments.config import engine_settings
from experiments.configs.station import get_config

TINY = Wanted(train=6, per_defect=4, test_good=4)


def test_the_paper_s_recordings() -> None:
    films = recordings("lemon_soda", Wanted(test_good=140), 5, 2)
    learned = [film for film in films if not film.test]
    assert {film.state for film in learned} == {"normal"} and sum(film.seconds for film in learned) == 300
    assert len(learned) == 2 * 5 and len({film.name for film in films}) == len(films)
    assert [film.setup for film in learned] == 2 * list(range(5)), "two recordings a set-up: one can be held out"
    for state in ("dent", "paint"):
        assert sum(film.seconds for film in films if film.state == state) == 5 * 150
    tested = {film.video for film in films if film.test}
    assert not tested & {film.video for film in learned}, "no recording on both sides"
    for state in ("normal", "dent", "paint"):
        assert {film.setup for film in films if film.test and film.state == state} == set(range(5))
    source = "station:lemon_soda?state=normal&video=0&setup=0&seed=3&seconds=30&size=64&fps=1"
    assert films[0].source(64, 3) == source


def test_new_set_ups_are_tested_in_where_that_is_asked() -> None:
    films = recordings("lemon_soda", Wanted(), 5, 2, new_setups=True)
    assert {film.setup for film in films if not film.test} == set(range(5))
    assert {film.setup for film in films if film.test} == set(range(5, 10))


def test_films_once_and_makes_the_set_that_its_config_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filming, "TURN", 4)
    made = film_data_set("coffee", tmp_path, TINY, videos=2, hard=1, size=64)
    counts = made.manifest["counts"]
    assert counts["train/good"] == 6 and counts["test/good"] == 4
    assert 0 < counts["test/dent"] <= 4 and counts["test/dent"] + counts["test/paint"] == counts["masks: capture"]
    films = sorted((tmp_path / "captures").iterdir())
    assert len(films) == 4 + 2 + 1 + 4
    assert all(read_capture(film, verify=True).fps == 1.0 for film in films)
    c = get_config("coffee")
    assert made.folder == tmp_path / "sets/coffee" and Path(c.data.root).parts[-1] == "sets"
    data = mvtec_folder(tmp_path / "sets", "coffee", 64, require_masks=True)
    assert set(recordings_of(made.folder, data.train.names) or ()) == {f"coffee-normal-{i}" for i in range(4)}

    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    missing = tmp_path / "captures/coffee-paint-5"
    before = {path.name: path.read_bytes() for path in (missing / "frames").iterdir()}
    for path in sorted(missing.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    missing.rmdir()
    (tmp_path / "sets/coffee").rename(tmp_path / "first")
    again = film_data_set("coffee", tmp_path, TINY, videos=2, hard=1, size=64)
    assert again.manifest["files"] == made.manifest["files"]
    assert before == {path.name: path.read_bytes() for path in (missing / "frames").iterdir()}
    others = [path for path in written if "captures" in path.parts and missing not in path.parents]
    assert others and all(path.stat().st_mtime_ns == written[path] for path in others)

    with pytest.raises(InputError, match="coffee-normal-0: holds a capture of something else.*size=64.*size=80"):
        film_data_set("coffee", tmp_path, TINY, videos=2, hard=1, size=80)


def test_a_relative_folder_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    film = recordings("coffee", TINY, 2, 1)[0]._replace(seconds=4)
    stop = threading.Event()
    out = Path("station/captures") / film.name
    capture(CaptureOptions(film.source(64, 0), out), stop=stop, tell=lambda counts: stop.set())
    assert not checked_manifest(out)["finished"]
    assert filming.film(film, out, 64, 0) == out and len(read_capture(out).frames) == 4
    with pytest.raises(InputError, match="--out: ~nobody-of-this-name: no home folder"):
        film_data_set("coffee", Path("~nobody-of-this-name"), TINY, videos=2, hard=1, size=64)


def test_what_cannot_be_filmed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--product=tea: the station has winter_melon"):
        film_data_set("tea", tmp_path, TINY, videos=2, hard=1, size=64)


@pytest.mark.parametrize("product", ["winter_melon", "lemon_soda", "coffee"])
def test_the_config_is_sound(product: str) -> None:
    c = engine_settings(get_config(product))
    assert (c.data.kind, c.data.category, c.data.size) == ("folder", product, 64)
