"""What these tests share: a small folder of pictures."""

from small_folder import data, root

__all__ = ["data", "root"]
