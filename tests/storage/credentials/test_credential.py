"""A credential holds references; each secret is read when it is used, and its trouble is told."""

from __future__ import annotations

import base64
import pickle
import sys
import threading
import time
from pathlib import Path

import pytest

from rsdat.errors import ConfigError, CredentialError
from rsdat.storage.credentials import Credential, find, secrets
from tests.storage.secrets import Person, before, jwt, macaroon

URL = "https://door.example.org/x"


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_token_from_a_file_follows_the_file(person: Person) -> None:
    person.secret("token", "first\n")
    credential = Credential.from_options(token_file="~/token")
    assert credential.headers(URL) == {"Authorization": "Bearer first"}
    person.secret("token", "other\n")
    assert credential.headers(URL) == {"Authorization": "Bearer other"}


def test_a_token_of_an_rclone_remote(person: Person) -> None:
    person.secret("remote.conf", "[door]\ntype = webdav\nbearer_token = MDAx_y=\nuser =\n")
    credential = Credential.from_options(token_file="~/remote.conf")
    assert credential.headers(URL) == {"Authorization": "Bearer MDAx_y="}


def test_a_token_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOOR_TOKEN", "from-there")
    credential = Credential.from_options(token_env="DOOR_TOKEN")
    assert credential.headers(URL) == {"Authorization": "Bearer from-there"}
    monkeypatch.delenv("DOOR_TOKEN")
    with pytest.raises(CredentialError, match="DOOR_TOKEN is not set") as caught:
        credential.headers(URL)
    assert "workers" in str(caught.value.hint)


def command(path: Path, body: str) -> Credential:
    """A command that counts its runs in a file beside it."""
    path.write_text(f"import sys\nopen({str(path) + '.runs'!r}, 'a').write('x')\n{body}\n")
    return Credential.from_options(token_command=[sys.executable, str(path)])


def runs(path: Path) -> int:
    return len(Path(f"{path}.runs").read_text())


def test_a_command_runs_again_shortly_before_its_token_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "token.py"
    now = time.time()
    credential = command(script, f"print({jwt(exp=now + 600)!r})")
    threads = [threading.Thread(target=credential.headers, args=(URL,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs(script) == 1
    monkeypatch.setattr(time, "time", lambda: now + 600 - secrets.MARGIN - 5)
    credential.headers(URL)
    assert runs(script) == 1
    monkeypatch.setattr(time, "time", lambda: now + 600 - secrets.MARGIN + 5)
    credential.headers(URL)
    assert runs(script) == 2


def test_a_command_runs_again_after_a_refusal(tmp_path: Path) -> None:
    script = tmp_path / "token.py"
    credential = command(script, "print('opaque-token')")
    credential.headers(URL)
    credential.headers(URL)
    credential.renew()
    credential.headers(URL)
    assert runs(script) == 2


def test_a_command_that_fails_is_told_without_its_secrets(tmp_path: Path) -> None:
    secret = "eyJhbGciOiJub25lIn0-and-much-more"
    body = f"sys.exit('cannot renew: token {secret} for password hunter2')"
    with pytest.raises(CredentialError, match=r"failed \(exit status 1\): cannot renew") as caught:
        command(tmp_path / "token.py", body).headers(URL)
    assert secret not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_command_that_is_missing_or_silent(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="no command no-such-command"):
        Credential.from_options(token_command=["no-such-command"]).headers(URL)
    with pytest.raises(CredentialError, match="it prints nothing"):
        command(tmp_path / "token.py", "pass").headers(URL)


def test_oidc_agent_is_asked_by_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tmp_path / "oidc-token"
    client.write_text('#!/bin/sh\necho "$*" >"$0.asked"\necho the-token\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    credential = Credential.from_options(oidc_agent="egi")
    credential.renew()
    assert credential.headers(URL) == {"Authorization": "Bearer the-token"}
    assert (tmp_path / "oidc-token.asked").read_text() == "--time 120 egi\n"


def test_user_and_password(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.secret("password", "wörd:1\n")
    credential = Credential.from_options(username="me", password_file="~/password")
    assert credential.headers(URL) == basic("me", "wörd:1")
    monkeypatch.setenv("DOOR_PASSWORD", "other")
    credential = Credential.from_options(username="me", password_env="DOOR_PASSWORD")
    assert credential.headers(URL) == basic("me", "other")


def test_netrc_by_host(person: Person) -> None:
    person.secret(".netrc", "machine door.example.org login me password word\n")
    credential = Credential.from_options(netrc=True)
    assert credential.headers(URL) == basic("me", "word")
    assert credential.headers("https://other.example.org/") == {}
    person.secret(".netrc", "machine door.example.org login me password new\n")
    assert credential.headers(URL) == basic("me", "new")


def test_a_netrc_that_cannot_be_understood_keeps_its_password(person: Person) -> None:
    person.secret(".netrc", "machine door.example.org login me\nhunter2\n")
    with pytest.raises(CredentialError, match=r"~/.netrc:\d+ cannot be understood") as caught:
        Credential.from_options(netrc=True).headers(URL)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0, "~/token does not exist"),
        ("", 0o600, "~/token is empty"),
        ("two words", 0o600, "is no token"),
        ("line\nline", 0o600, "is no token"),
        ("secret", 0o644, r"everyone on this machine may read or change ~/token \(mode 0644\)"),
        (macaroon("before:2020-01-01T00:00:00Z"), 0o600, "the token of ~/token expired on 2020-"),
        (jwt(exp=1), 0o600, "the token of ~/token expired on 1970-"),
    ],
)
def test_a_bad_file_is_told_with_the_next_step(
    person: Person, content: str | None, mode: int, said: str
) -> None:
    if content is not None:
        person.secret("token", content, mode)
    with pytest.raises(CredentialError, match=said) as caught:
        Credential.from_options(token_file="~/token").headers(URL)
    assert caught.value.hint
    assert isinstance(caught.value, PermissionError)
    assert not content or content not in str(caught.value)


def test_a_directory_and_a_file_in_bytes(person: Person) -> None:
    with pytest.raises(CredentialError, match="is a directory"):
        Credential.from_options(token_file="~").headers(URL)
    file = person.secret("token", "")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialError, match="is not a text"):
        Credential.from_options(token_file="~/token").headers(URL)


def test_a_groups_secret_is_warned_of_once(person: Person) -> None:
    person.secret("token", "secret", 0o640)
    credential = Credential.from_options(token_file="~/token")
    with pytest.warns(UserWarning, match="chmod 600") as caught:
        _ = [credential.headers(URL) for _ in range(2)]
    # Garbage of earlier tests may warn meanwhile, too.
    assert len([one for one in caught if "chmod 600" in str(one.message)]) == 1


def test_a_token_that_lasts_is_sent(person: Person) -> None:
    token = macaroon(before(hours=1))
    person.secret("token", token)
    credential = Credential.from_options(token_file="~/token")
    assert credential.headers(URL) == {"Authorization": f"Bearer {token}"}


def test_what_is_pickled_and_printed_is_the_reference(person: Person) -> None:
    person.secret("token", "very-secret")
    credential = Credential.from_options(token_file="~/token")
    credential.headers(URL)
    assert repr(credential) == "Credential(token_file=~/token)"
    assert b"very-secret" not in pickle.dumps(credential)
    assert pickle.loads(pickle.dumps(credential)) == credential
    argv = Credential.from_options(token_command=["get-token", "--code", "very-secret"])
    assert "very-secret" not in repr(argv)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token": "abc"}, "token: unknown key"),
        ({"token_file": "a", "token_env": "B"}, "one address takes one of token_file and"),
        ({"username": "me"}, "a user name needs"),
        ({"token_command": []}, "expected a command"),
        ({"token_file": 5}, "token_file"),
    ],
)
def test_wrong_options(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Credential.from_options(**options)
    assert "abc" not in str(caught.value)


def test_a_secret_does_not_go_over_plain_http_to_another_machine(person: Person) -> None:
    person.secret("token", "secret")
    person.credentials(**{"*.example.org": {"token_file": "~/token"}})
    found = find("http://door.example.org/x")
    assert found is not None
    with pytest.raises(CredentialError, match="over plain http"):
        found.headers("http://door.example.org/x")
    person.credentials(**{"http://door.example.org": {"token_file": "~/token"}})
    found = find("http://door.example.org/x")
    assert found is not None
    assert found.headers("http://door.example.org/x")


def test_the_closest_entry_is_found_and_an_empty_one_takes_a_host_out(person: Person) -> None:
    person.credentials(
        **{
            "*.example.org": {"token_file": "~/wide"},
            "door.example.org": {"token_file": "~/host"},
            "door.example.org/mine": {"token_file": "~/mine"},
            "open.example.org": {},
        }
    )
    found = {
        url: getattr(find(url), "token_file", None)
        for url in (
            "https://x.example.org/",
            "https://door.example.org/",
            "dcache://door.example.org/mine/x",
            "https://open.example.org/",
            "https://example.net/",
        )
    }
    assert list(found.values()) == ["~/wide", "~/host", "~/mine", None, None]
