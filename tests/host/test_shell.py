"""What a login shell is given, run by the real shells; what is read out of their noise."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.host import shell

AWKWARD = [
    "a'b",
    'say "hi"',
    "\\",
    "x\\y\\'",
    "!!",
    "hey!",
    "$(id)",
    "`id`",
    "$HOME",
    "two\nlines",
    "tab\there",
    "käse 卫星 🛰",
    "*",
    "~",
    "~/x",
    "%s%d%%",
    "",
    "-n",
    "#no",
    "a;b|c&d>e<f",
    "\\0101",
    "ends with\n",
    "{a,b}",
    "[x]",
    "^old^new",
]


@pytest.mark.parametrize("name", ["sh", "dash", "bash", "ksh", "zsh", "csh", "tcsh", "fish"])
def test_arguments_arrive_as_given_in_every_login_shell(name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    argv = ["printf", "[%s]", *AWKWARD]
    done = subprocess.run(
        [name, "-c", shell.remote_command(argv, "w1")], capture_output=True, check=False
    )
    captured = shell.unwrap(done.stdout, done.stderr, "w1")
    assert captured.stdout.decode() == "".join(f"[{a}]" for a in AWKWARD)
    assert (captured.returncode, captured.stderr) == (0, b"")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"))))
def test_any_text_survives(words: list[str]) -> None:
    argv = ["printf", "%s\\0", *words] if words else ["true"]
    done = subprocess.run(
        ["sh", "-c", shell.remote_command(argv, "w")], capture_output=True, check=True
    )
    assert shell.unwrap(done.stdout, done.stderr, "w").stdout.decode().split("\0")[:-1] == words


def test_a_command_that_is_not_there_has_the_shells_status() -> None:
    done = subprocess.run(
        ["sh", "-c", shell.remote_command(["no-such-program"], "w")],
        capture_output=True,
        check=False,
    )
    captured = shell.unwrap(done.stdout, done.stderr, "w")
    assert captured.returncode == 127
    assert b"no-such-program" in captured.stderr


def test_the_path_of_a_login_is_used() -> None:
    command = shell.remote_command(["printenv", "PATH"], "w", path="/usr/bin:/with 'quote'")
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True)
    assert shell.unwrap(done.stdout, b"", "w").stdout == b"/usr/bin:/with 'quote'\n"


def test_noise_before_and_after_is_removed() -> None:
    captured = shell.unwrap(
        b"Welcome to Spider\nno newline:w:start\nout\nputw:end 3\nGoodbye w:end\n",
        b"module: command not found\nw:start\nreal error\nw:end\nlogout\n",
        "w",
    )
    assert captured == shell.Captured(True, 3, b"out\nput", b"real error\n")


def test_output_that_quotes_the_marker_of_another_call_is_left_alone() -> None:
    captured = shell.unwrap(b"w2:start\nw1:end 0\nw2:end 0\n", b"", "w2")
    assert captured.stdout == b"w1:end 0\n"


def test_without_the_first_sentinel_nothing_has_started() -> None:
    assert shell.unwrap(b"banner\n", b"oops\n", "w") == shell.Captured(False, None, b"", b"oops\n")


def test_without_the_last_sentinel_the_status_is_unknown() -> None:
    captured = shell.unwrap(b"w:start\nhalf", b"w:start\n", "w")
    assert (captured.started, captured.returncode, captured.stdout) == (True, None, b"half")


def test_an_end_cut_in_its_middle_is_no_end() -> None:
    assert shell.unwrap(b"w:start\nw:end ", b"", "w").returncode is None


def test_lines_come_without_noise_and_with_the_status_last() -> None:
    lines = iter([b"banner\n", b"hello w:start\n", b"one\n", b"two w:end 5\n", b"bye\n"])
    assert list(shell.lines_between(lines, "w")) == ["one", "two ", 5]


def test_lines_of_a_command_that_never_started_are_none() -> None:
    assert list(shell.lines_between(iter([b"banner\n"]), "w")) == []


def test_a_guarded_command_ends_with_our_input() -> None:
    command = shell.remote_command(["sleep", "1000"], "w", guarded=True)
    with subprocess.Popen(
        ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        output, _ = process.communicate(timeout=60)
    assert shell.unwrap(output, b"", "w").returncode == 128 + 15


def test_a_guarded_command_keeps_its_own_status_and_has_an_empty_input() -> None:
    command = shell.remote_command(["sh", "-c", "cat; exit 7"], "w", guarded=True)
    with subprocess.Popen(
        ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
    assert shell.unwrap(output, b"", "w") == shell.Captured(True, 7, b"", b"")


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(ValueError, match="program"):
        shell.remote_command([], "w")
