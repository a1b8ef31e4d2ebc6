"""The ``credentials`` section: merged, judged, shown, and found by a process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rsdat.config import InvalidSite, lint, load_site
from rsdat.config.access import accesses
from rsdat.config.places import Places
from rsdat.config.show import site_text

Write = Callable[[str, str], Path]


def problems(write: Write, where: Places, text: str) -> list[str]:
    file = write("other/site.yaml", text)
    found = lint(file, where=where, environ={})
    return [str(problem).removeprefix(f"{file}:") for problem in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "credentials: {door.example.org: {token: abc}}",
            "1: credentials.door.example.org.token: unknown key; "
            "did you mean 'credentials.door.example.org.token_env'?",
        ),
        (
            "credentials: {'*': {token_file: ~/t}}",
            "1: credentials.*: '*' would give the secret to every host: write the domain, "
            "as *.example.org",
        ),
        (
            "credentials: {a.org: {token_file: ~/t, oidc_agent: me}}",
            "1: credentials.a.org.oidc_agent: one address takes one of token_file and oidc_agent "
            "(null takes away what a lower layer says)",
        ),
        (
            "credentials: {a.org: {username: me}}",
            "1: credentials.a.org.username: a user name needs the key 'password_file' or "
            "'password_env' (or 'key_file' for sftp)",
        ),
        (
            "credentials: {a.org: {token_command: get-token --quiet}}",
            "1: credentials.a.org.token_command: expected a list, got 'get-token --quiet'",
        ),
        (
            "credentials: {s3://b: {endpoint: s3.example.org}}",
            "1: credentials.s3://b.endpoint: expected an address as https://s3.example.org, "
            "got 's3.example.org'",
        ),
        (
            "credentials: {s3://b: {access_key_env: KEY}}",
            "1: credentials.s3://b.access_key_env: access_key_env and secret_key_env belong "
            "together",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    write: Write, where: Places, text: str, expected: str
) -> None:
    assert problems(write, where, text) == [expected]


def test_layers_merge_by_address_and_origins_are_shown(write: Write, where: Places) -> None:
    write("shipped/sites/x.yaml", "name: x\n")
    write("etc/defaults.yaml", "credentials: {a.org: {token_file: /t, ca_file: /ca}}")
    own = write("user/sites/x.yaml", "credentials: {a.org: {token_file: ~/t}, '*.b.org': {}}")
    loaded = load_site("x", where=where, environ={})
    assert loaded.site.credentials["a.org"].token_file == "~/t"
    assert loaded.site.credentials["a.org"].ca_file == "/ca"
    text = site_text(loaded, origin=True)
    assert f"token_file: ~/t # {own}:1" in " ".join(text.split())
    copy = write("other/x.yaml", site_text(loaded))
    assert lint(copy, where=where, environ={}) == []


def test_an_admin_can_lock_them(write: Write, where: Places) -> None:
    write("shipped/sites/x.yaml", "name: x\nlimits: {locked: [credentials]}\n")
    write("user/sites/x.yaml", "credentials: {a.org: {token_file: ~/t}}")
    with pytest.raises(InvalidSite, match="users may not change this"):
        load_site("x", where=where, environ={})


def test_a_process_outside_a_session_takes_the_files_of_this_machine(
    write: Write, where: Places
) -> None:
    write("shipped/sites/local.yaml", "name: local\n")
    file = write("user/defaults.yaml", "credentials: {a.org: {token_file: ~/t}}")
    assert accesses(where=where, environ={})["a.org"].token_file == "~/t"
    file.write_text("credentials: {a.org: {token_file: ~/other}}")
    assert accesses(where=where, environ={})["a.org"].token_file == "~/other"


def test_a_process_in_a_session_takes_the_sessions_site_and_the_files_there(
    write: Write, where: Places, tmp_path: Path
) -> None:
    site = {
        "name": "x",
        "credentials": {"a.org": {"token_file": "~/a", "ca_file": None}, "b.org": {"netrc": True}},
    }
    write("session/site.json", json.dumps(site))
    write("user/defaults.yaml", "credentials: {a.org: {ca_file: /ca}}")
    write("user/sites/x.yaml", "name: x\ncredentials: {a.org: {token_file: ~/mine}}")
    found = accesses(where=where, environ={"RSDAT_SESSION": str(tmp_path / "session")})
    assert (found["a.org"].token_file, found["a.org"].ca_file) == ("~/mine", "/ca")
    assert found["b.org"].netrc is True


def test_a_wrong_section_is_an_error_and_a_wrong_section_elsewhere_is_not(
    write: Write, where: Places
) -> None:
    write("shipped/sites/local.yaml", "name: local\nhead: {core: 1}\n")
    write("user/defaults.yaml", "credentials: {a.org: {token_file: ~/t}}")
    assert "a.org" in accesses(where=where, environ={})
    write("user/sites/local.yaml", "credentials: {a.org: {token_fil: ~/t}}")
    with pytest.raises(InvalidSite, match=r"local.yaml:1: credentials.a.org.token_fil: unknown"):
        accesses(where=where, environ={})
