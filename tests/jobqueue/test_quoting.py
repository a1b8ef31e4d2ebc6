"""No text leaves its shell word or its directive line."""

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.errors import ConfigError
from rsdat.jobqueue.quoting import (
    Expand,
    directive_line,
    directive_value,
    export,
    shell_command,
    shell_word,
)

# What an argv can hold: anything but NUL, encodable as UTF-8.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
nasty = st.text(st.sampled_from(list("'\"\\$`~!*?[]{}()<>|&;#= \t\n\raé/-")), max_size=20)
words = st.one_of(texts, nasty).filter(lambda word: not word.startswith("~/"))


def echo(shell: str, script: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [shell, "-c", script],
        env={"PATH": "/usr/bin:/bin", "HOME": "/home/someone", **environment},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().split("\0")[:-1]


@settings(max_examples=40, deadline=None)
@given(st.lists(words, min_size=1, max_size=20))
@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_arguments_reach_the_program_unchanged(shell: str, arguments: list[str]) -> None:
    command = shell_command(("/usr/bin/printf", "%s\\0", *arguments))
    assert echo(shell, command) == arguments


@settings(max_examples=20, deadline=None)
@given(words)
def test_exported_values_arrive_unchanged(value: str) -> None:
    script = export("THING", value) + '\nprintf "%s\\0" "$THING"'
    assert echo("bash", script) == [value]


@settings(max_examples=20, deadline=None)
@given(words)
def test_a_leading_tilde_is_the_home_of_the_machine_that_runs_it(rest: str) -> None:
    script = f'printf "%s\\0" {shell_word("~/" + rest)}'
    assert echo("bash", script) == [f"/home/someone/{rest}"]


def test_a_tilde_elsewhere_is_a_tilde() -> None:
    script = f'printf "%s\\0" {shell_word("a~/b")} {shell_word("~")} {shell_word("~root/x")}'
    assert echo("bash", script) == ["a~/b", "~", "~root/x"]


def test_variables_expand_where_the_caller_marks_the_word_and_only_there() -> None:
    script = f'printf "%s\\0" {shell_word(Expand("$A/x ${B}y$"))} {shell_word("$A")}'
    assert echo("bash", script, A="a b", B="*") == ["a b/x *y$", "$A"]


def test_a_marked_word_runs_no_command() -> None:
    text = "$(touch x)`touch x`; touch x"
    assert echo("bash", f'printf "%s\\0" {shell_word(Expand(text))}') == [text]


def test_tmpdir_is_tmp_where_the_node_sets_none() -> None:
    script = f'printf "%s\\0" {shell_word(Expand("$TMPDIR/dask"))}'
    assert echo("bash", script) == ["/tmp/dask"]
    assert echo("bash", script, TMPDIR="/scratch/1") == ["/scratch/1/dask"]


def test_another_unset_variable_stops_the_job_and_is_named() -> None:
    done = subprocess.run(
        ["bash", "-c", f"echo {shell_word(Expand('$NOWHERE/dask'))}"],
        capture_output=True,
        text=True,
        env={},
        check=False,
    )
    assert done.returncode != 0
    assert "NOWHERE" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("first", ["A=b", "if", "time"])
def test_the_program_is_a_program_whatever_its_name(first: str) -> None:
    done = subprocess.run(
        ["bash", "-c", shell_command((first, "x"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 127
    assert first in done.stderr


def test_no_program_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no program"):
        shell_command(())


def test_a_nul_is_an_error() -> None:
    with pytest.raises(ConfigError, match="NUL"):
        shell_word("a\0b")


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A\nB", "A;B"])
def test_a_variable_that_the_shell_cannot_export_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="environment"):
        export(name, "x")


@given(texts.filter(bool))
def test_a_directive_stays_on_its_line_or_is_refused(value: str) -> None:
    if any(ord(character) < 32 or character in "\x7f\x85\u2028\u2029" for character in value):
        with pytest.raises(ConfigError, match="account"):
            directive_value("account", value)
    else:
        rendered = directive_value("account", value)
        assert len(rendered.splitlines()) == 1
        assert shlex.split(rendered, comments=True) == [value]


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\x0bb", "a\x1bb", "a\x00", "\u2028", ""])
def test_a_directive_with_a_control_character_is_refused_with_its_key(value: str) -> None:
    with pytest.raises(ConfigError, match="partition"):
        directive_value("partition", value)


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        ("main", "main"),
        ("gpu:a100:2", "gpu:a100:2"),
        ("[rack1|rack2]*2&ib", "[rack1|rack2]*2&ib"),
        ("two words", '"two words"'),
        ('with "quotes"', r'"with \"quotes\""'),
        ("back\\slash", r'"back\\slash"'),
        ("half#hash", '"half#hash"'),
    ],
)
def test_directive_values(value: str, rendered: str) -> None:
    assert directive_value("constraint", value) == rendered


def test_a_further_directive_is_written_as_it_is() -> None:
    assert directive_line("  --mail-type=END --exclusive ") == "--mail-type=END --exclusive"


@pytest.mark.parametrize("line", ["exclusive", "#SBATCH --exclusive", "", "rm -rf x"])
def test_a_further_directive_is_an_option(line: str) -> None:
    with pytest.raises(ConfigError, match="directives"):
        directive_line(line)


def test_a_further_directive_cannot_start_a_second_line() -> None:
    with pytest.raises(ConfigError, match="directives"):
        directive_line("--exclusive\nrm -rf x")
