"""L1. Names that other people gave and that become folders, files or kinds of defects: checked where they enter.

A label file, a table and a flag are plain text that anyone may have written. What such a text may be called is the same
on every system, so that a data set made here can be unpacked elsewhere.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath

from ddad_jax.errors import InputError

NORMAL_NAMES = (
    *("good", "ok", "okay", "normal", "goods", "nominal", "sound", "intact", "healthy", "flawless", "faultless"),
    *("perfect", "free", "mt_free", "clean", "pass", "passed", "accepted", "acceptable", "undamaged", "none"),
    *("defect_free", "defects_free", "free_of_defects", "no_defect", "no_defects", "without_defect", "without_defects"),
    *("non_defect", "non_defective", "not_defective", "defectless", "undefective", "undefected", "zero_defects"),
    *("anomaly_free", "no_anomaly", "no_anomalies", "non_anomaly", "not_anomaly", "non_anomalous", "not_anomalous"),
    *("fault_free", "no_fault", "flaw_free", "no_flaw", "damage_free", "no_damage", "error_free", "no_error"),
    *("gut", "gutteile", "i.o.", "in_ordnung", "fehlerfrei", "einwandfrei", "正常", "良品", "合格", "无缺陷", "良"),
)
"""What people call pictures without a defect; blanks, hyphens, dots, underscores and case make no difference."""

LONGEST = 200
"""Bytes of UTF-8. A file system takes 255 of a name; what is put around it (RECORDING_000012_mask.png, a process number
while it is written) has its place in the rest."""

_SEPARATORS = frozenset('/\\:<>"|?*')  # the first three part folders somewhere, Windows has the others in no name
_JOINERS = "\u200c\u200d"  # which words of some scripts are written with
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"]
    + [f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"]
)


def fault_of(name: str) -> str:
    """Why no folder or file may be called so on every system, in words that follow the name; empty where one may.

    >>> fault_of("deep scratch")
    ''
    >>> fault_of("../scratch")
    "holds '/'"
    >>> fault_of("NUL.png")
    'is a device of Windows'
    """
    if not name.strip():
        return "is empty"
    if separators := [character for character in name if character in _SEPARATORS]:
        return f"holds {separators[0]!r}"
    if hidden := [c for c in name if unicodedata.category(c) in _INVISIBLE and c not in _JOINERS]:
        return f"holds the character {ascii(hidden[0])}, which cannot be seen"
    if name.startswith("."):
        return "begins with a dot"
    if name != name.strip() or name.endswith("."):
        return "begins or ends with a blank, or ends with a dot"
    if name.partition(".")[0].rstrip().casefold() in _DEVICES:
        return "is a device of Windows"
    if (length := len(name.encode())) > LONGEST:
        return f"is {length} bytes long, more than {LONGEST}"
    return ""


def require_name(name: str, where: str, *, mend: str = "Give it another name") -> str:
    """The name itself, if a folder or file may be called so on every system.

    Args:
      name: as it was given.
      where: file, picture and region, or flag, for the message.
      mend: how, without a full stop.

    Raises:
      InputError: it may not, with why.
    """
    if fault := fault_of(name):
        raise InputError(f"{where}: {_quoted(name)} names folders or files, but {fault}. {mend}.")
    return name


def require_kind(name: str, where: str, *, mend: str = "Give it another name") -> str:
    """A kind of defect in the composed form of Unicode (NFC), in which two spellings that look the same are the same.

    Args:
      name, where, mend: as of `require_name`.

    Raises:
      InputError: no folder may be called so, or it is what normal pictures are called (`NORMAL_NAMES`).
    """
    if is_normal_name(require_name(name, where, mend=mend)):
        raise InputError(
            f"{where}: {_quoted(name)} names a defect, but is what pictures without a defect are called. {mend}."
        )
    return unicodedata.normalize("NFC", name)


def is_normal_name(name: str) -> bool:
    """Whether it says that there is no defect.

    >>> [is_normal_name(name) for name in ("good", "OK", "Defect-free", "goodyear", "scratch")]
    [True, True, True, False, False]
    """
    # What is said besides does not change it: ok_front, good_2, test_good, "GOOD parts".
    telling = _telling(name)
    return _bare(name) in _NORMAL or (len(telling) == 1 and telling[0].rstrip("0123456789").removesuffix("s") in _SURE)


def may_be_normal(name: str) -> bool:
    """Whether a name that `is_normal_name` does not know may mean normal all the same, by a word in it.

    >>> [may_be_normal(name) for name in ("good_weld", "negative", "no_crack", "not_good", "scratch")]
    [True, True, True, False, False]
    """
    tokens = _tokens(name)
    denied, words = bool({*tokens} & _DENIALS), [token for token in tokens if token not in _DENIALS]
    normal = any(_bare(word) in _NORMAL for word in words)
    telling = {*_telling(name)}
    first = tokens in (["0"], ["class", "0"], ["label", "0"])
    return not is_normal_name(name) and (normal != denied or first or bool(telling and telling <= _UNSURE))


def _tokens(name: str) -> list[str]:
    """The words of a name, in lower case: of "GoodParts" and "good-parts" good and parts."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    return [token for token in _TOKENS.split(apart.casefold()) if token]


def _telling(name: str) -> list[str]:
    return [token for token in _tokens(name) if token not in _SAYS_NOTHING and not token.isdigit()]


def folded(name: str) -> str:
    """What is equal of two names that are one file on a system that tells neither case nor forms of Unicode apart.

    >>> folded("Scratch") == folded("scratch"), folded("Fl\u00e4che") == folded("Fla\u0308che")
    (True, True)
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def require_apart(names: Iterable[tuple[str, str]]) -> None:
    """Names that differ stay different on every system; equal ones may come as often as they like.

    Args:
      names: each with where it is from, for the message.

    Raises:
      InputError: two differ by case or Unicode form alone, so that they would be one folder on some systems.
    """
    first: dict[str, tuple[str, str]] = {}
    for name, where in names:
        other, there = first.setdefault(folded(name), (name, where))
        if other != name:
            raise InputError(
                f"{where}: {_quoted(name)} and {_quoted(other)} ({there}) differ by case or Unicode form alone: they "
                "are one folder on some systems. Write both the same, or give one another name."
            )


def require_inside(name: str, where: str, *, mend: str = "Name one below the folder it belongs to") -> str:
    """The path itself, if it stays below the folder it is relative to, on every system.

    What each of its parts is called is not asked: it is the path of files that are there.

    Args:
      name: a relative path with forward slashes.
      where, mend: as of `require_name`.

    Raises:
      InputError: it is empty or absolute, has a drive, or goes upwards.
    """
    windows = PureWindowsPath(name)
    upwards = ".." in PurePosixPath(name).parts or ".." in windows.parts
    # A colon is a drive only where one letter stands before it; elsewhere it is part of a name on this system.
    if not name or "\0" in name or upwards or name.startswith(("/", "\\")) or windows.drive or windows.root:
        raise InputError(f"{where}: {_quoted(name)} leads out of the folder it belongs to. {mend}.")
    return name


def _bare(name: str) -> str:
    name = unicodedata.normalize("NFKC", name)  # also in the wide letters of East Asian keyboards
    return "".join(c for c in folded(name) if not (c.isspace() or c in "_-.()" or c in _JOINERS))


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:80]}...")


_NORMAL = frozenset(map(_bare, NORMAL_NAMES))
_SURE = frozenset({"good", "ok", "okay", "normal"})
_TOKENS = re.compile(r"[\W_]+")
_SAYS_NOTHING = frozenset(
    (*("front", "back", "rear", "side", "sides", "top", "bottom", "left", "right", "view", "camera", "cam"),)
    + (*("train", "val", "valid", "validation", "test", "set", "part", "parts", "piece", "pieces", "item", "items"),)
    + (*("picture", "pictures", "image", "images", "img", "imgs", "sample", "samples", "product", "products", "only"),)
)
_DENIALS = frozenset({"no", "not", "non", "without", "un", "kein", "keine", "nicht"})
_UNSURE = frozenset(
    {"negative", "negatives", "neg", "accept", "valid", "reference", "references", "golden", "unbroken"}
)
