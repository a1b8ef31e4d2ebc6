"""Fixtures of the storage room's tests."""

from tests.storage.secrets import person

__all__ = ["person"]
