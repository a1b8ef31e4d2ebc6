"""Quoting for job scripts: no value leaves its directive line or its shell word.

All text that comes from users passes through here on its way into a script: names, accounts,
directives, arguments, variables. The templates lay out, this module quotes.
"""

from __future__ import annotations

import re

from rsdat.errors import ConfigError

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
# Slurm reads quotes, backslashes, white space and '#' in a directive as a shell would.
_PLAIN_DIRECTIVE = re.compile(r"[^\s'\"\\#]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_RESERVED = re.compile(
    "case|coproc|do|done|elif|else|esac|fi|for|function|if|in|select|then|time|until|while"
)


class Expand(str):
    """A word in which ``$NAME`` and ``${NAME}`` stand for variables of the node where the job runs.

    Other words reach the program as they are written. An unset variable ends the job with a
    message that names it, but for ``$TMPDIR``, which is ``/tmp`` where the node sets none.
    """

    __slots__ = ()


def shell_word(word: str) -> str:
    """One word for the shell, quoted where it has to be.

    A leading ``~/`` becomes ``"$HOME"/``: the writer of the script does not know the home of the
    machine that runs it. Variables expand in an :class:`Expand` only.
    """
    if "\0" in word:
        raise ConfigError(
            f"a word of the job's program holds a NUL character: {word!r}",
            hint="Remove it; no program can be given one.",
        )
    if word.startswith("~/"):
        rest = word[2:]
        return '"$HOME"/' + (_body(Expand(rest) if isinstance(word, Expand) else rest))
    return _body(word) or "''"


def _body(word: str) -> str:
    if not isinstance(word, Expand):
        return _literal(word)
    parts: list[str] = []
    end = 0
    for match in _VARIABLE.finditer(word):
        parts.append(_literal(word[end : match.start()]))
        name = match[1] or match[2]
        parts.append('"${TMPDIR:-/tmp}"' if name == "TMPDIR" else f'"${{{name}:?}}"')
        end = match.end()
    parts.append(_literal(word[end:]))
    return "".join(parts)


def _literal(text: str) -> str:
    if not text or _PLAIN_WORD.fullmatch(text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def shell_command(words: tuple[str, ...]) -> str:
    """A program and its arguments as one line of shell."""
    if not words:
        raise ConfigError("the job has no program to run", hint="Give its command at least a name.")
    first, *rest = (shell_word(word) for word in words)
    # NAME=value in the first place would be an assignment to the shell, and `if` a keyword.
    if first == words[0] and ("=" in first or _RESERVED.fullmatch(first)):
        first = f"'{first}'"
    return " ".join([first, *rest])


def export(name: str, value: str) -> str:
    """A shell line that exports one variable."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"environment: {name!r} is not a name that the shell can export",
            hint="Use letters, digits and underscores.",
        )
    return f"export {name}={shell_word(value)}"


def single_line(key: str, value: str) -> str:
    """``value``, if it stays on its line. Raises :class:`~rsdat.errors.ConfigError`."""
    if _CONTROL.search(value):
        raise ConfigError(
            f"{key}: {value!r} holds a line break or another control character",
            hint=f"Write {key} on one line of plain text.",
        )
    return value


def directive_value(key: str, value: str) -> str:
    """The value of a directive, quoted for the queue's own reading of its lines."""
    single_line(key, value)
    if not value:
        raise ConfigError(f"{key}: the value is empty", hint=f"Leave {key} out, or give a value.")
    if _PLAIN_DIRECTIVE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def directive_line(line: str) -> str:
    """A further directive as its author wrote it, without the queue's prefix."""
    single_line("directives", line)
    text = line.strip()
    if not text.startswith("-"):
        raise ConfigError(
            f"directives: {line!r} does not start with '-'",
            hint="Write the option alone, as --exclusive or --mail-type=END.",
        )
    return text
