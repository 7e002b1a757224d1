"""What these tests share: a small folder of pictures; figures that are left blank but in modules about them."""

from small_folder import root
from undrawn import undrawn

__all__ = ["root", "undrawn"]
