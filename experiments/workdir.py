"""The folder a run lives in: whose it is, what it was made with, and what it was run on."""

import json
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from ddad_jax.errors import InputError
from experiments.config import MODEL_SECTIONS

_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "opencv-python-headless",
    "pillow",
)


def open_workdir(path: Path | str, config: ConfigDict) -> Path:
    """Make or reopen the folder; writes config.json and environment.json.

    Raises:
      InputError: it cannot be written to, or its model was made with other settings (named in the message).
    """
    folder = Path(path).expanduser().absolute()
    settings = json.loads(json.dumps(config.to_dict()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise InputError(f"--workdir={folder}: cannot be written to ({error.strerror}); name another folder") from None
    saved = folder / "config.json"
    if saved.exists():
        before = _read(saved)
        differing = [
            f"{name}: there {old!r}, now {new!r}"
            for section in MODEL_SECTIONS
            for name, old, new in _differences(section, before.get(section), settings[section])
        ]
        if differing:
            raise InputError(
                f"--workdir={folder} holds a model made with other settings:\n  "
                + "\n  ".join(differing[:10])
                + "\nName another --workdir, or delete this one to start again."
            )
    _write(saved, json.dumps(settings, indent=1, sort_keys=True))
    _write(folder / "environment.json", json.dumps(environment(), indent=1))
    return folder


def environment() -> dict[str, Any]:
    """Versions, device and commit: what besides the config a figure depends on."""
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "device": f"{len(jax.devices())} x {device.device_kind} ({device.platform})",
        "commit": _commit(),
        "command": shlex.join([_module(), *sys.argv[1:]]),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }


def _module() -> str:
    """Name of the program as ``python -m`` takes it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else Path(sys.argv[0]).name


def _commit() -> str:
    """Commit of the checkout this file lies in, "+" behind it when files were changed; "" outside a checkout."""
    here = Path(__file__).parent
    found = (
        subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12"],
            capture_output=True,
            text=True,
        )
        if (here.parent / ".git").exists()
        else None
    )
    return found.stdout.strip() if found and found.returncode == 0 else ""


def _differences(name: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(old.keys() | new.keys())
        return [d for key in names for d in _differences(f"{name}.{key}", old.get(key), new.get(key))]
    return [] if old == new else [(name, old, new)]


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); delete the workdir to start again") from None


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a kill between the two lines leaves the old file."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
