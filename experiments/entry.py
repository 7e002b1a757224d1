"""What every entry point shares: the flags, the memory setting, and errors a user can read."""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import absl.logging
import jax
from absl import app, flags
from ml_collections import ConfigDict, config_flags

from ddad_jax.data.file_names import shown
from ddad_jax.errors import InputError
from experiments import failures, hosts, stopping, tracking
from experiments.config import base
from experiments.config_check import check
from experiments.config_file import ConfigFile

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Settings: a file of experiments/configs, as path.py or path.py:argument."
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the model and the results; reused where they exist.")
flags.FLAGS[CONFIG.name].parser = ConfigFile()
TRACK = flags.DEFINE_list(
    "track", [], "Who follows the run besides TensorBoard: wandb, mlflow, or both (pip install '.[tracking]')."
)


def trackers() -> list[str]:
    """``--track``; none where a program's ``main`` is called without flags."""
    return TRACK.value if flags.FLAGS.is_parsed() else []


def run(main: Callable[[ConfigDict, Path], None]) -> None:
    """Parse the flags, check the config and call ``main(config, workdir)``.

    An InputError, or a flag that cannot be used, is printed without a traceback and the status is 2; so are failures of
    the machine (``failures``), and signals end it as ``stopping`` says. Other exceptions keep their traceback. Of
    several processes (``hosts``) the first one alone talks of what goes well.
    """

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            _refuse(InputError(f"{argv[1]}: not a flag; every setting is one, such as --config.train.steps=1000"))
        # Orbax reports every file it writes as INFO of absl; ours goes through the standard library.
        absl.logging.set_verbosity(absl.logging.WARNING)
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        # It tells of callbacks that fail behind a failure which is told already, as Orbax's on a full disk.
        logging.getLogger("concurrent.futures").setLevel(logging.CRITICAL)
        try:
            _require_named("workdir")
            workdir = Path(WORKDIR.value or "")
            config = check(CONFIG.value, config_flags.get_override_values(flags.FLAGS[CONFIG.name]))
            tracking.require(TRACK.value)
            _reuse_memory()
            hosts.join()
            failures.require_devices()
        except InputError as error:
            _refuse(error)
        heard = hosts.is_first()
        logging.getLogger("experiments").setLevel(logging.INFO if heard else logging.WARNING)
        try:
            given = {"workdir": str(workdir.expanduser().absolute()), "jax": jax.__version__}
            hosts.agree("their settings", given | {"config": config.to_dict()}, "Give all of them the same flags.")
            with contextlib.nullcontext() if heard else contextlib.redirect_stdout(None):
                main(config, workdir)
                _say_all()
        except InputError as error:
            hosts.tell(error)
            _refuse(error)
        except stopping.Stopped as stop:
            hosts.tell(InputError(str(stop)))
            raise
        except (OSError, MemoryError, jax.errors.JaxRuntimeError) as error:
            if told := failures.in_a_line(error, workdir):
                hosts.tell(told)
                _refuse(told)
            if not hosts.several() or not isinstance(error, jax.errors.JaxRuntimeError):
                raise
            traceback.print_exc()
            hosts.leave("a device or another process failed (above, and in what the others printed)")

    flags.mark_flags_as_required(["config"] if WORKDIR.default else ["config", "workdir"])
    _in_order(lambda: app.run(guarded, flags_parser=_parse))


def run_without_config(main: Callable[[], None], *, required: Sequence[str] = ()) -> None:
    """As ``run``, for a program whose settings are all flags of its own: parse them and call ``main()``.

    required: names of flags that have to be given.
    """

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            _refuse(
                InputError(f"{argv[1]}: not a flag; every setting is one, such as --{next(iter(required), 'help')}=")
            )
        absl.logging.set_verbosity(absl.logging.WARNING)
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        logging.getLogger("experiments").setLevel(logging.INFO)
        try:
            _require_named(*required)
            _reuse_memory()
            failures.require_devices()
            main()
            _say_all()
        except InputError as error:
            _refuse(error)
        except (OSError, MemoryError, jax.errors.JaxRuntimeError) as error:
            if told := failures.in_a_line(error):
                _refuse(told)
            raise

    def parse(argv: list[str]) -> list[str]:
        try:
            return flags.FLAGS(argv)
        except flags.Error as error:
            _refuse(error)

    flags.mark_flags_as_required(required)
    _in_order(lambda: app.run(guarded, flags_parser=parse))


def _in_order(program: Callable[[], None]) -> None:
    """Run it; signals, and a reader of its output that went away, end it without a traceback."""
    try:
        with stopping.watched():
            if strange := [text for text in (*sys.argv[1:], str(Path.cwd())) if shown(text) != text]:
                _refuse(InputError(f"{shown(strange[0])}: is not UTF-8; rename the file or folder it stands for"))
            program()
    except stopping.Stopped as stop:
        # Threads of libraries that the end cuts off have nothing to say that is not said below.
        threading.excepthook = lambda failed: None
        if hosts.several():
            hosts.leave(str(stop), stop.status)
        print(stop, file=sys.stderr)
        sys.exit(stop.status)
    except BrokenPipeError:
        # As a shell sees a program that SIGPIPE ended; what is still unsaid must not be tried once more at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _require_named(*names: str) -> None:
    """An empty path would be the folder where one stands."""
    for name in names:
        value = flags.FLAGS[name].value
        if isinstance(value, str) and not value.strip():
            raise InputError(f"--{name}={value}: is empty; expected a name (a script's variable may not be set)")


def _say_all() -> None:
    """What is printed has to be out while there is somebody to tell that it could not be."""
    if sys.stdout:
        sys.stdout.flush()


def _refuse(error: BaseException) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def _parse(argv: list[str]) -> list[str]:
    """What is left of the command line behind its flags; a flag that cannot be used ends the program."""
    known = base()
    for flag in argv[1:]:
        named = re.match(r"--?(?:no)?config\.([\w.]+)", flag)
        if named and not _has(known, named[1]):
            _refuse(InputError(f"--config.{named[1]}: there is no such setting; experiments/config.py has them all"))
    parts = [flag for flag in argv[1:] if "config.sweep.parts." in flag]
    try:
        left = flags.FLAGS(argv)
    except flags.Error as error:
        # What a config file refuses, or is refused for, comes wrapped in an exception of absl.
        cause: BaseException | None = error
        while cause and not isinstance(cause, InputError):
            cause = cause.__context__
        _refuse(cause or error)
    except (KeyError, AttributeError, TypeError) as error:
        # What ml_collections raises for a name below a section that it does not know.
        if not parts:
            raise
        told = f"{' '.join(parts)}: the config has no such part of a sweep, or no such setting in it ({error})"
        _refuse(InputError(f"{told}; config.sweep.parts in the config's file has them all"))
    return left


def _has(c: ConfigDict, dotted: str) -> bool:
    for name in dotted.split("."):
        if not isinstance(c, ConfigDict) or name not in c:
            return False
        c = c[name]
        if name == "parts":
            return True  # of a sweep: what they are is the config file's own
    return True


def _reuse_memory() -> None:
    """Ask glibc for huge pages, once, by starting this program again with the setting it reads at start-up.

    On the CPU every call of a compiled program takes fresh memory from the system page by page, which costs
    a fifth of a U-Net's time at 256 px. GLIBC_TUNABLES set by the user is left alone.
    """
    if sys.platform != "linux" or "GLIBC_TUNABLES" in os.environ:
        return
    # To ask JAX wakes the devices, and they must sleep until several processes have found each other.
    backend = os.environ.get("JAX_PLATFORMS") if hosts.COORDINATOR.value else failures.require_devices()
    if backend != "cpu":
        return
    os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
