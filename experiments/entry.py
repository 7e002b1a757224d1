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
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any, NoReturn

import absl.logging
import jax
from absl import app, flags
from ml_collections import ConfigDict, config_flags

from ddad_jax.data.file_names import printable_name
from ddad_jax.engine import hosts, stopping, tracking
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.engine.settings.section import no_such
from ddad_jax.engine.store.compiled import keep_compiled
from ddad_jax.errors import InputError, first_line
from experiments import failures
from experiments.config import base, engine_settings

COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "Address of process 0 as host:port, where one run has several processes; auto on a TPU pod or "
    "under SLURM, where JAX finds the others itself. Empty: this process is the run.",
)  # fmt: skip
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Of the run; not needed with --coordinator=auto.")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "Of this process, from 0; not needed with --coordinator=auto.")
HOST_TIMEOUT = flags.DEFINE_integer(
    "host_timeout_s", 300, "Seconds that a process may be awaited, or be silent, before it counts as lost.",
    lower_bound=1,
)  # fmt: skip


# --- The file of ``--config``: the user's own code, so whatever goes wrong in it is told in a line that says where.

MODULE = "config_of_the_run"


class ConfigFile(flags.ArgumentParser):
    """Of the flag: path.py, or path.py:argument for ``get_config(argument)``. In place of the parser of ml_collections,
    which lets exceptions of the file pass or hides where they came from."""

    syntactic_help = "a file with get_config(), as path.py or path.py:argument"

    def parse(self, argument: str) -> ConfigDict:
        """The config, locked.

        Raises:
          InputError: no such file; it raised something, with the line; or it gave back no config. An InputError of the
            file's own passes as it is.
        """
        path, colon, given = argument.partition(":")
        try:
            config = _loaded(path, [given] if colon else [])
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001  the user's own code, which may raise anything
            raise InputError(f"--config={path}: {_told(path, error)}") from error
        if not isinstance(config, ConfigDict):
            raise InputError(
                f"--config={path}: get_config() returned {config!r:.80}; expected a ConfigDict, as that of "
                "experiments.config.base()"
            )
        return config.lock()

    def flag_type(self) -> str:
        return "config file"


def _loaded(path: str, given: list[str]) -> object:
    spec = spec_from_loader(MODULE, SourceFileLoader(MODULE, path))
    assert spec and spec.loader
    sys.modules[MODULE] = module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError as error:
        if error.filename != path:
            raise
        raise InputError(f"--config={path}: there is no such file{_where(path)}") from None
    if not callable(getattr(module, "get_config", None)):
        raise InputError(f"--config={path}: has no function get_config(), which gives back the config")
    return module.get_config(*given)


def _where(path: str) -> str:
    """Where a path that leads nowhere was looked for, and how to mend it."""
    looked = Path(path).absolute()
    said = f" ({looked}, seen from the current folder {Path.cwd()})" if not Path(path).is_absolute() else ""
    ours = Path(__file__).parent.parent / path
    if ours != looked and ours.is_file():
        return f"{said}; that of ddad_jax is {ours}: name it so, or run from {Path(__file__).parent.parent}"
    above = next(folder for folder in looked.parents if folder.exists())
    return f"{said}; {above} is there: check the rest of the path, or name the whole path"


def _told(path: str, error: Exception) -> str:
    """line 3: ZeroDivisionError: division by zero"""
    said = error.msg if isinstance(error, SyntaxError) else first_line(error)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    where = f"line {lines[-1]}: " if lines else ""
    if isinstance(error, SyntaxError) and error.lineno:  # of this file, or of one that it imports
        where += f"line {error.lineno}: " if error.filename == path else f"{error.filename}, line {error.lineno}: "
    return f"{where}{type(error).__name__}: {said}"


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


def run_experiment(main: Callable[[Any, Path], None]) -> None:
    """Parse the flags, check the config and call ``main(settings, workdir)``.

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
            config = engine_settings(CONFIG.value, config_flags.get_override_values(flags.FLAGS[CONFIG.name]))
            tracking.require_trackers(TRACK.value)
            _reuse_memory()
            keep_compiled()
            numbers = NUM_PROCESSES.value, PROCESS_ID.value
            hosts.join(COORDINATOR.value, *numbers, timeout_s=HOST_TIMEOUT.value)
            failures.require_devices()
        except InputError as error:
            _refuse(error)
        heard = hosts.is_first()
        _talk(logging.INFO if heard else logging.WARNING)
        try:
            given = {"workdir": str(workdir.expanduser().absolute()), "jax": jax.__version__}
            hosts.agree("their settings", given | {"config": config.to_dict()}, "Give all of them the same flags.")
            with contextlib.nullcontext() if heard else contextlib.redirect_stdout(None):
                main(config, workdir)
                _say_all()
        except InputError as error:
            hosts.tell_hosts(error)
            _refuse(error)
        except stopping.Stopped as stop:
            hosts.tell_hosts(InputError(str(stop)))
            raise
        except (OSError, MemoryError, jax.errors.JaxRuntimeError) as error:
            if told := failures.in_a_line(error, workdir):
                hosts.tell_hosts(told)
                _refuse(told)
            if not hosts.several_processes() or not isinstance(error, jax.errors.JaxRuntimeError):
                raise
            traceback.print_exc()
            hosts.leave("a device or another process failed (above, and in what the others printed)")

    flags.mark_flags_as_required(["config"] if WORKDIR.default else ["config", "workdir"])
    _in_order(lambda: app.run(guarded, flags_parser=_parse))


def run_without_config(
    main: Callable[[], None], *, required: Sequence[str] = (), devices: Callable[[], bool] = lambda: True
) -> None:
    """As ``run_experiment``, for a program that takes no config of a run: parse its flags and call ``main()``.

    required: names of flags that have to be given. devices: whether it computes on them; one that only starts others
    must leave them to these. Asked when the flags are parsed.
    """

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            _refuse(
                InputError(f"{argv[1]}: not a flag; every setting is one, such as --{next(iter(required), 'help')}=")
            )
        absl.logging.set_verbosity(absl.logging.WARNING)
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        _talk(logging.INFO)
        try:
            _require_named(*required)
            if devices():
                _reuse_memory()
                keep_compiled()
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
            _refuse(_cause(error))
        except (KeyError, AttributeError, TypeError) as error:
            # What ml_collections raises for a name that the config has not.
            if not (of_config := [flag for flag in argv[1:] if flag.lstrip("-").startswith("config.")]):
                raise
            _refuse(InputError(f"{' '.join(of_config)}: the config has no such setting ({error})"))

    flags.mark_flags_as_required(required)
    _in_order(lambda: app.run(guarded, flags_parser=parse))


def _in_order(program: Callable[[], None]) -> None:
    """Run it; signals, and a reader of its output that went away, end it without a traceback."""
    try:
        with stopping.watched():
            if strange := [text for text in (*sys.argv[1:], str(Path.cwd())) if printable_name(text) != text]:
                _refuse(
                    InputError(f"{printable_name(strange[0])}: is not UTF-8; rename the file or folder it stands for")
                )
            program()
    except stopping.Stopped as stop:
        # Threads of libraries that the end cuts off have nothing to say that is not said below.
        threading.excepthook = lambda failed: None
        if hosts.several_processes():
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


def _talk(level: int) -> None:
    """How much is said of what goes well, by the programs and by the engine."""
    for name in ("experiments", "ddad_jax.engine"):
        logging.getLogger(name).setLevel(level)


def _refuse(error: BaseException) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def _parse(argv: list[str]) -> list[str]:
    """What is left of the command line behind its flags; a flag that cannot be used ends the program."""
    known, of_some = [base(method) for method in METHODS], []
    for flag in argv[1:]:
        if not (named := re.match(r"--?(?:no)?config\.([\w.]+)", flag)):
            continue
        there = [_has(config, named[1]) for config in known]
        if not any(there):
            _refuse(no_such(named[1]))
        if not all(there):
            of_some.append(f"--config.{named[1]}")
    parts = [flag for flag in argv[1:] if "config.sweep.parts." in flag]
    try:
        left = flags.FLAGS(argv)
    except flags.Error as error:
        _refuse(_cause(error))
    except (KeyError, AttributeError, TypeError) as error:
        # What ml_collections raises for a name below a section that it does not know.
        if of_some and not parts:
            told = f"{', '.join(of_some)}: a setting that not every method has, and the method of the config has not"
            _refuse(InputError(f"{told} ({error}); take a config of a method that has it"))
        if not parts:
            raise
        told = f"{' '.join(parts)}: the config has no such part of a sweep, or no such setting in it ({error})"
        _refuse(InputError(f"{told}; config.sweep.parts in the config's file has them all"))
    return left


def _cause(error: BaseException) -> BaseException:
    """What a config file refuses, or is refused for, which comes wrapped in an exception of absl."""
    cause: BaseException | None = error
    while cause and not isinstance(cause, InputError):
        cause = cause.__context__
    return cause or error


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
    backend = os.environ.get("JAX_PLATFORMS") if COORDINATOR.value else failures.require_devices()
    if backend != "cpu":
        return
    os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
