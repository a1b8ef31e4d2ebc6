"""SFTP servers that do not let us in: who was refused, with which key, and what to do."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rsdat.errors import CredentialError, DataError
from rsdat.storage import read_text
from rsdat.storage.transfer import copy_file
from rsdat.storage.transfer_errors import Broken, Denied
from rsdat.storage.transfer_listing import expand
from tests.conftest import Sshd
from tests.storage.secrets import Person, person
from tests.storage.transfer_ends import short_clock

__all__ = ["person", "short_clock"]


@pytest.fixture
def login(sftp_server: Sshd, person: Person, short_clock: None) -> Callable[..., str]:
    """The address of a server that knows one key, and what else is said of it."""

    def told(**entry: Any) -> str:
        address = f"sftp://127.0.0.1:{sftp_server.port}"
        usual = {
            "username": getpass.getuser(),
            "key_file": "~/id",
            "known_hosts": str(sftp_server.known_hosts),
        }
        person.credentials(**{address: {**usual, **entry}})
        return address

    person.secret("id", (sftp_server.directory / "user_key").read_text())
    return told


def new_key(person: Person, passphrase: str) -> None:
    (person.home / "id").unlink()
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", person.home / "id"]
    subprocess.run(argv, check=True)


def refused(url: str, words: str, hint: str) -> None:
    """The same is said by all commands."""
    with pytest.raises(CredentialError, match=words) as caught:
        expand(url)
    assert hint in str(caught.value.hint)
    with pytest.raises(CredentialError, match=words):
        read_text(f"{url}/f")
    with pytest.raises(Denied, match=words) as copied:
        copy_file(f"{url}/f", "/tmp/never")
    assert hint in str(copied.value.hint)


def test_a_key_that_the_server_does_not_know(login: Callable[..., str], person: Person) -> None:
    new_key(person, "")
    refused(login(), f"login of {getpass.getuser()} with the key .*/id", "username and key_file")


def test_a_user_that_the_server_does_not_know(login: Callable[..., str]) -> None:
    refused(login(username="nobody-here"), "the login of nobody-here", "username and key_file")


def test_a_key_with_a_passphrase(login: Callable[..., str], person: Person) -> None:
    new_key(person, "a passphrase")
    refused(login(), "/id is encrypted", "ssh-add")


@pytest.mark.parametrize(
    "text",
    [
        "no key at all",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nhalf-a-key\n-----END OPENSSH PRIVATE KEY-----\n",
    ],
)
def test_a_file_that_is_no_key(login: Callable[..., str], person: Person, text: str) -> None:
    person.secret("id", text)
    with pytest.raises(CredentialError, match="/id holds no private key") as caught:
        expand(login())
    assert "half-a-key" not in str(caught.value)


def test_a_host_that_is_not_there(person: Person, short_clock: None) -> None:
    with pytest.raises(DataError, match=r"there is no host no-such-host\.invalid"):
        expand("sftp://someone@no-such-host.invalid/f")


def test_a_server_that_is_down(
    login: Callable[..., str], sftp_server: Sshd, tmp_path: Path
) -> None:
    address = login()
    sftp_server.stop()
    with pytest.raises(DataError, match=r"cannot be listed: .*[Rr]efused"):
        expand(f"{address}/f")
    with pytest.raises(Broken, match=r"[Rr]efused"):
        copy_file(f"{address}/f", str(tmp_path / "f"))
