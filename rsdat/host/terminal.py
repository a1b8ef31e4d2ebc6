"""Run a program that may talk to the person at the terminal, and keep a copy of its complaints."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys

from rsdat.errors import HostError


def run_showing(argv: list[str], *, show: bool) -> tuple[int, str]:
    """Run to its end; return the exit status and what it wrote to stderr.

    Parameters
    ----------
    argv
        The program. Questions that it asks on the terminal itself stay between it and the person.
    show
        Copy its stderr to ours as it comes, and let it read our stdin.

    Notes
    -----
    Ends with the process, not with the pipe: an ssh that goes to the background may keep it open.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=None if show else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # BatchMode does not reach an ssh to a jump host: without a terminal, and without a
            # window to open, that one cannot ask either.
            start_new_session=not show,
            env=None if show else {**os.environ, "SSH_ASKPASS_REQUIRE": "never"},
        )
    except FileNotFoundError as error:
        raise HostError(
            f"there is no {argv[0]} on this machine", hint="Install OpenSSH's client."
        ) from error
    assert process.stderr is not None
    with process.stderr:
        try:
            text = _follow(process, process.stderr.fileno(), show)
        except BaseException:
            process.kill()
            process.wait()
            raise
    return process.wait(), text.decode(errors="replace")


def _follow(process: subprocess.Popen[bytes], pipe: int, show: bool) -> bytes:
    os.set_blocking(pipe, False)
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None
            selector.select(0 if ended else 0.05)
            try:
                chunk = os.read(pipe, 65536)
            except BlockingIOError:
                if ended:
                    return text
                continue
            if not chunk:
                process.wait()
                return text
            text += chunk
            if show:
                sys.stderr.write(chunk.decode(errors="replace"))
                sys.stderr.flush()
