"""Compiled programs are kept in the user's cache, or where JAX's own variables say."""

from pathlib import Path

import pytest

from ddad_jax.engine.store.compiled import keep_compiled, usual_folder


def test_the_folder_is_the_users_and_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: dict[str, object] = {}
    folder = usual_folder()
    assert folder.parent == tmp_path / "ddad_jax/compiled" and folder == usual_folder()
    for before, enabled, expected in ((None, True, {"jax_compilation_cache_dir": str(folder)}), (None, False, {}),
                                      ("/elsewhere", True, {})):  # fmt: skip
        asked.clear()
        monkeypatch.setattr("ddad_jax.engine.store.compiled.jax", Jax(before, enabled, asked))
        keep_compiled()
        assert asked == expected
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    monkeypatch.setattr("ddad_jax.engine.store.compiled.jax", Jax(None, True, asked))
    keep_compiled()
    assert not asked and "can be made" in caplog.text and "JAX_COMPILATION_CACHE_DIR" in caplog.text
    caplog.clear()

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    keep_compiled()
    assert not asked and "Could not determine home directory" in caplog.text


class Jax:
    """What ``keep_compiled`` asks of JAX."""

    def __init__(self, folder: str | None, enabled: bool, asked: dict[str, object]) -> None:
        self.config, self.update = self, asked.__setitem__
        self.values = {"jax_compilation_cache_dir": folder, "jax_enable_compilation_cache": enabled}
