"""The folder a run lives in: whose it is, what it was made with, and what it was run on."""

import contextlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from ddad_jax.data.split import images_fingerprint
from ddad_jax.engine import hosts
from ddad_jax.engine.data.same_pictures import fingerprint_in, first_below
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.settings import FIRST, METHODS, settings_from
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.engine.settings.sections import LOCATIONS, Settings
from ddad_jax.engine.store import kept, lock
from ddad_jax.engine.store.file_contents import same_file, why_another
from ddad_jax.engine.store.tables import write_text
from ddad_jax.engine.sweep import shards
from ddad_jax.errors import InputError

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


_AGAIN = "Delete the workdir to start again"

_ARITHMETIC = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_numpy_dtype_promotion",
    "jax_platforms",
)
"""Settings of JAX, each from its environment variable, that give other numbers for the same config."""


@contextlib.contextmanager
def workdir_lock(workdir: Path, *, shared: bool = False) -> Iterator[None]:
    """No other program writes into the workdir for as long as the block lasts; of several processes the first one
    takes the lock for all. shared: but shards.

    Raises:
      InputError: another one does, and who it is.
    """
    folder = workdir.expanduser().absolute()
    with contextlib.ExitStack() as until_the_end:

        def take() -> None:
            if not shared:
                shards.require_idle(folder)
            until_the_end.enter_context(lock.folder_lock(folder, shared=shared))

        hosts.first("the lock of the workdir", take)
        yield


def open_workdir(path: Path | str, config: Settings, data: Data) -> Path:
    """Make or reopen the folder; writes config.json, data.json and environment.json.

    What has not been made yet binds nobody (``Method.bound``).

    Raises:
      InputError: it cannot be written to, or what it holds was made with other settings or other normal images
        (named in the message); the processes of the run read other pictures or do not share the folder.
    """
    folder = Path(path).expanduser().absolute()
    if hosts.several_processes():
        read = _used(folder, config, data) | {"test": images_fingerprint(data.test)}
        hosts.agree("the pictures they read", read, "Give all of them the same --config.data.root.")
    hosts.first("--workdir", lambda: _open(folder, config, data))
    seen = {"config.json is there": (folder / "config.json").exists()}
    hosts.agree(f"--workdir={folder}", seen, "Name a folder that all of them share.")
    return folder


def _open(folder: Path, config: Settings, data: Data) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise InputError(f"--workdir={folder}: cannot be written to ({error.strerror}); name another folder") from None
    with lock.folder_lock(folder):
        _write(folder, config, data)


def _write(folder: Path, config: Settings, data: Data) -> None:
    settings, used = json.loads(json.dumps(config.to_dict())), _used(folder, config, data)
    require_same_run(folder, config, data)
    # First: where it does not say how names begin, the config beside it does, so that must be the one it was of.
    kept.save_content(folder / "data.json", {**used, "below": first_below(folder, config.data)}, {})
    write_text(folder / "config.json", json.dumps(settings, indent=1, sort_keys=True))
    kept.save_content(folder / "environment.json", environment(), {})


def require_same_run(folder: Path, config: Settings, data: Data) -> None:
    """What the folder holds must have been made with these settings and normal images; nothing is written.

    Raises:
      InputError: naming what differs.
    """
    saved, used = folder / "config.json", _used(folder, config, data)
    if not saved.exists():
        return
    settings = json.loads(json.dumps(config.to_dict()))
    before = _then(kept.read_content(saved, mend=_AGAIN)[0])
    method = method_of(config)
    if before["method"] != method.name:
        raise InputError(
            f"--workdir={folder}: holds a run of {before['method']}, and this is one of {method.name}; name another "
            "--workdir"
        )
    bound, then = method.bound(folder, settings), method.bound(folder, before)
    differing = [
        (part, f"{name}: there {old!r}, now {new!r}{why_another(old, new) if name == 'backbone.weights' else ''}")
        for part, values in bound.items()
        for section, value in values.items()
        for name, old, new in _differences(section, then[part][section], value)
        if not (name in LOCATIONS and (folder / "data.json").exists())
        and not (name == "backbone.weights" and same_file(old, new))
    ]
    made_of = kept.read_content(folder / "data.json", mend=_AGAIN)[0] if (folder / "data.json").exists() else used
    if bound and any(made_of.get(name) != used[name] for name in used):
        changed = f"the normal images of {data.name}: pictures were added, removed or changed"
        differing.append((next(iter(bound)), changed))
    if differing:
        parts = {part for part, _ in differing}
        gone = folder / parts.pop() if len(parts) == 1 and parts <= {*method.apart} else "this one"
        raise InputError(
            f"--workdir={folder} holds a model made with other settings:\n  "
            + "\n  ".join(line for _, line in differing[:10])
            + f"\nName another --workdir, or delete {gone} to start again."
        )


def saved_config(folder: Path) -> Any:
    """The settings in the folder's config.json; what did not exist yet when it was written has its default.

    Raises:
      InputError: there is none, or it has settings that this version does not know.
    """
    path = folder / "config.json"
    if not path.exists():
        raise InputError(f"{folder}: holds no run (config.json is missing); python -m experiments.evaluate makes one")
    saved = kept.read_content(path, mend=_AGAIN)[0]
    if (method := saved.get("method", FIRST)) not in METHODS:
        raise InputError(f"{path}: another version of ddad_jax wrote it: this one knows no method {method}")
    if unknown := _unknown(saved, _defaults(method)):
        told = ", ".join(unknown[:5])
        raise InputError(f"{path}: another version of ddad_jax wrote it: this one knows no setting {told}")
    try:
        return check_settings(settings_from(_tuples(_then(saved))))
    except InputError as error:
        raise InputError(f"{path}: settings that this version of ddad_jax cannot take: {error}") from None


def _unknown(saved: dict[str, Any], known: dict[str, Any], at: str = "") -> list[str]:
    """Dotted names of ``saved`` that are none of ``known``; the parts of a sweep have names of their own."""
    found = []
    for name, value in saved.items():
        if name not in known:
            found.append(f"{at}{name}")
        elif isinstance(known[name], dict) and isinstance(value, dict) and f"{at}{name}" != "sweep.parts":
            found += _unknown(value, known[name], f"{at}{name}.")
    return found


def _tuples(value: Any) -> Any:
    """JSON knows lists only, a config tuples only."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _used(folder: Path, c: Settings, data: Data) -> dict[str, str]:
    return {
        name: fingerprint_in(folder, c.data, part) for name, part in (("fit", data.fit), ("held_out", data.held_out))
    }


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
        "jax": {name: jax.config.values.get(name) for name in _ARITHMETIC} | {"XLA_FLAGS": os.getenv("XLA_FLAGS", "")},
    }


def _module() -> str:
    """Name of the program as ``python -m`` takes it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else Path(sys.argv[0]).name


def _commit() -> str:
    """Commit of the checkout this file lies in, "+" behind it when files were changed; "" outside a checkout."""
    here, git = Path(__file__).parent, shutil.which("git")
    if not git or not (here.parents[1] / ".git").exists():
        return ""
    command = [git, "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12"]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else ""


def _differences(name: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(old.keys() | new.keys())
        return [d for key in names for d in _differences(f"{name}.{key}", old.get(key), new.get(key))]
    return [] if old == new else [(name, old, new)]


def _defaults(method: str) -> dict[str, Any]:
    """As JSON has them."""
    return json.loads(json.dumps(METHODS[method].settings().to_dict()))


def _then(saved: dict[str, Any]) -> dict[str, Any]:
    """``saved`` with what its settings were before they existed: what they are now by default, but for those here."""
    then = _defaults(saved.get("method", FIRST))
    then["data"]["hold_out"] = "picture"
    if then["method"] == FIRST:
        then["score"]["upsampling"] = "align_corners"
        then["grid"]["teacher_grid"] = "trailing"
    of = saved.get("data", {})
    if of.get("kind") == "mtd" and "split" not in of:
        # Nobody knew its tiles then.
        saved = {**saved, "data": {**of, "split": "picture", "hold_out": "picture"}}
    return _filled(saved, then)


def _filled(settings: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
    filled = {**default, **settings}
    return {
        name: _filled(value, default[name])
        if isinstance(value, dict) and isinstance(default.get(name), dict)
        else value
        for name, value in filled.items()
    }
