"""L1. What folders of normal pictures are called."""

NORMAL_NAMES = ("good", "ok", "normal", "defect_free")


def is_normal_name(name: str) -> bool:
    """Whether a folder of this name, in any case, holds normal pictures."""
    return name.casefold() in NORMAL_NAMES
