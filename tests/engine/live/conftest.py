"""What these tests share: an inspection by fakes."""

from faked_inspection import inspect

__all__ = ["inspect"]
