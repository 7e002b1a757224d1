"""The file of ``--config``: the user's own code, so whatever goes wrong in it is told in a line that says where."""

import sys
import traceback
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from ddad_jax.errors import InputError, first_line

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
