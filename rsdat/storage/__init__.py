"""Filesystems and credentials."""

from rsdat.storage.files import (
    absolute,
    followed,
    is_remote,
    read_text,
    scrubbed,
    shown,
    storage_options,
    write_atomically,
)

__all__ = [
    "absolute",
    "followed",
    "is_remote",
    "read_text",
    "scrubbed",
    "shown",
    "storage_options",
    "write_atomically",
]
