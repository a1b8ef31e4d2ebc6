"""moto as an S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .environments import python_of
from .programs import Server, running, workplace


@contextmanager
def s3() -> Iterator[Server]:
    """An S3 endpoint that takes any key; its buckets are gone with it."""
    python = python_of("s3")
    with workplace("s3") as place:

        def argv(port: int) -> list[str]:
            return [str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

        with running(argv, place, own_rights=True) as port:
            yield Server(f"http://127.0.0.1:{port}", place, place / "log")
