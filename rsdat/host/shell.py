"""The text that a login shell is given, and what comes back: argv out, output between sentinels in.

sshd hands one string to the user's login shell, which may be any shell, and that shell's start-up
files may print. So the string is written in characters that every shell reads alike, and what the
command prints stands between two lines with a random word in them.
"""

from __future__ import annotations

import shlex
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_PLAIN = frozenset((string.ascii_letters + string.digits + "_@+=:,./-").encode())

# `cat` ends when our end of the connection is gone, and takes the command with it: an abandoned
# `tail -f` would otherwise stay on the login host until its file grows.
_GUARDED = """exec 3<&0
( exec {command} ) </dev/null 3<&- & p=$!
{{ cat <&3; kill "$p"; }} >/dev/null 2>&1 & w=$!
wait "$p"; s=$?
kill "$w" 2>/dev/null"""

_PLAIN_RUN = "( exec {command} ); s=$?"

#: ``sh -c PUT sh PATH MODE SIZE``: a temporary file beside the target, the size checked (a broken
#: connection looks like the end of the input), then the rename.
PUT = """p=$1; case $p in '~/'*) p=$HOME/${p#'~/'};; esac
[ ! -d "$p" ] || { echo "is a directory" >&2; exit 1; }
umask 077
t=$(mktemp -- "$(dirname -- "$p")/.rsdat-XXXXXXXX") || exit 1
trap 'rm -f -- "$t"' EXIT
cat >"$t" || exit 1
[ "$(wc -c <"$t")" -eq "$3" ] || { echo "the content did not arrive complete" >&2; exit 1; }
chmod "$2" "$t" || exit 1
sync -- "$t" 2>/dev/null || :
mv -f -- "$t" "$p" || exit 1
trap - EXIT"""

#: ``sh -c GET sh PATH``: status 44 says that there is no such file.
GET = """p=$1; case $p in '~/'*) p=$HOME/${p#'~/'};; esac
[ -e "$p" ] || { [ -x "$(dirname -- "$p")" ] || [ ! -e "$(dirname -- "$p")" ] && exit 44; }
exec cat -- "$p\""""
GET_ABSENT = 44

#: Prints the host's name, then the PATH of a login between two lines that are ``$1``. A queue's
#: commands are often found only there; csh takes no -c beside -l and simply prints nothing.
GREET = """hostname -f 2>/dev/null || hostname || echo
"${SHELL:-/bin/sh}" -l -c "echo $1; printenv PATH; echo $1" </dev/null 2>/dev/null || :"""


@dataclass(frozen=True)
class Captured:
    """What came back from a wrapped command.

    ``started`` is False when the login shell never came to the command; ``returncode`` is None
    when its end was not seen.
    """

    started: bool
    returncode: int | None
    stdout: bytes
    stderr: bytes


def remote_command(
    argv: Sequence[str], word: str, *, path: str | None = None, guarded: bool = False
) -> str:
    """Write the string for the login shell.

    Parameters
    ----------
    argv
        The command; each argument arrives as it is.
    word
        A random word of letters and digits that marks the output.
    path
        PATH to run with; None keeps what the login shell has.
    guarded
        Give the command an empty stdin, and kill it when ours ends.
    """
    if not argv:
        raise ValueError("a command needs at least a program")
    run = _GUARDED if guarded else _PLAIN_RUN
    lines = [
        f"PATH={shlex.quote(path)}; export PATH" if path else ":",
        f"echo {word}:start; echo {word}:start >&2",
        run.format(command=" ".join(shlex.quote(a) for a in argv)),
        f'echo "{word}:end $s"; echo {word}:end >&2',
        'exit "$s"',
    ]
    return f"""exec /bin/sh -c 'eval "$(printf %b "{_octal(chr(10).join(lines))}")"'"""


def unwrap(stdout: bytes, stderr: bytes, word: str) -> Captured:
    """Take the command's own output out of what a login shell and the command have printed."""
    started, body = _after(stdout, f"{word}:start\n".encode())
    _, errors = unwrap_errors(stderr, word)
    if not started:
        return Captured(False, None, b"", stderr)
    body, end, tail = body.rpartition(f"{word}:end ".encode())
    status = tail.split(b"\n", 1)[0]
    if not end or not status.isdigit():
        return Captured(True, None, (body + end + tail), errors)
    return Captured(True, int(status), body, errors)


def unwrap_errors(stderr: bytes, word: str) -> tuple[bool, bytes]:
    """Say whether the command started, and what it (else: everything) wrote to stderr."""
    started, errors = _after(stderr, f"{word}:start\n".encode())
    return started, errors.partition(f"{word}:end\n".encode())[0] if started else stderr


def lines_between(lines: Iterator[bytes], word: str) -> Iterator[str | int]:
    """Yield the command's lines as they come, without their ends; last of all its exit status.

    Nothing is yielded when the command never started, no status when its end was not seen.
    """
    start, end = f"{word}:start\n".encode(), f"{word}:end ".encode()
    for line in lines:
        if line.endswith(start):
            break
    for line in lines:
        body, marker, status = line.rpartition(end)
        if marker:
            if body:
                yield body.decode(errors="replace")
            yield int(status)
            return
        yield line.decode(errors="replace").rstrip("\r\n")


def _after(text: bytes, marker: bytes) -> tuple[bool, bytes]:
    _, found, rest = text.partition(marker)
    return bool(found), rest if found else text


def _octal(script: str) -> str:
    # printf's %b and a dozen plain characters mean the same to sh, bash, zsh, csh and fish; quotes,
    # backslashes, newlines and exclamation marks do not.
    return "".join(
        chr(byte) if byte in _PLAIN else f"\\0{byte:03o}"
        for byte in script.encode("utf-8", "surrogateescape")
    )
