"""SFTP servers are who they should be: their host keys are looked up as OpenSSH does."""

from __future__ import annotations

import base64
import getpass
import pickle
import subprocess
from pathlib import Path

import fsspec
import paramiko
import pytest

from rsdat.errors import CredentialError
from rsdat.storage import storage_options
from rsdat.storage.credentials import Credential
from rsdat.storage.credentials.hostkeys import HostKeys, fingerprint
from rsdat.storage.transfer import copy_file
from rsdat.storage.transfer_errors import Denied
from tests.conftest import Sshd
from tests.storage.secrets import Person

KEY, OTHER = b"\0\0\0\x0bssh-ed25519one", b"\0\0\0\x0bssh-ed25519two"
PLAIN = f"ssh-ed25519 {base64.b64encode(KEY).decode()}"


def verdict(file: Path, text: str, host: str = "door.example.org", port: int = 22) -> str:
    """What is said of KEY for a host, with one file of known hosts."""
    file.write_text(text)
    keys = HostKeys(host, port, str(file))
    try:
        keys.check(keys.known(), "ssh-ed25519", KEY)
    except CredentialError as error:
        return f"{error.message} {error.hint}"
    return "known"


@pytest.mark.parametrize(
    ("names", "host", "port", "known"),
    [
        ("door.example.org", "door.example.org", 22, True),
        ("door.example.org", "DOOR.example.org", 22, True),
        ("other,door.example.org,192.0.2.1", "192.0.2.1", 22, True),
        ("*.example.org", "door.example.org", 22, True),
        ("*.example.org,!door.example.org", "door.example.org", 22, False),
        ("*.example.org,!d?or.example.org", "door.example.org", 22, False),
        ("[door.example.org]:2222", "door.example.org", 2222, True),
        ("[door.example.org]:2222", "door.example.org", 22, False),
        ("[door.example.org]:2222", "door.example.org", 2223, False),
        ("[*.example.org]:2222", "door.example.org", 2222, True),
        ("[door.example.org]:*", "door.example.org", 2222, True),
        ("door.example.org", "door.example.org", 2222, True),  # without the port, as ssh has it
        ("oor.example.org", "door.example.org", 22, False),
        ("door.example.org.evil.org", "door.example.org", 22, False),
        ("[d]oor.example.org", "door.example.org", 22, False),
    ],
)
def test_names_and_patterns(tmp_path: Path, names: str, host: str, port: int, known: bool) -> None:
    said = verdict(tmp_path / "known", f"# words\n\n{names} {PLAIN} comment\n", host, port)
    assert (said == "known") == known
    assert known or "is not known" in said


def test_names_that_ssh_keygen_has_hashed(tmp_path: Path) -> None:
    file = tmp_path / "known"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "k"], check=True
    )
    kind, key, *_ = (tmp_path / "k.pub").read_text().split()
    file.write_text(f"door.example.org {kind} {key}\n[door.example.org]:2222 {kind} {key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert "door" not in file.read_text()
    for port in (22, 2222):
        [first, *_] = HostKeys("door.example.org", port, str(file)).known()
        assert first.key == base64.b64decode(key)
    assert HostKeys("other.example.org", 22, str(file)).known() == ()
    shown = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "k.pub"], capture_output=True)
    assert fingerprint(base64.b64decode(key)) in shown.stdout.decode()


def test_another_key_a_revoked_key_and_lines_that_are_none(tmp_path: Path) -> None:
    file, name = tmp_path / "known", "door.example.org"
    other = f"ssh-ed25519 {base64.b64encode(OTHER).decode()}"
    said = verdict(file, f"{name} {other}\n")
    assert "is not the one that is known" in said
    assert fingerprint(KEY) in said
    assert f"{file}:2" in verdict(file, f"# words\n{name} {other}\n")
    assert verdict(file, f"{name} {other}\n{name} {PLAIN}\n") == "known"
    # One that is written down without the port belongs to another sshd of that host.
    assert "is not known" in verdict(file, f"{name} {other}\n", port=2222)
    assert "was revoked" in verdict(file, f"{name} {PLAIN}\n@revoked {name} {PLAIN}\n")
    assert "was revoked" in verdict(file, f"{name} {PLAIN}\n@revoked * {PLAIN}\n", port=2222)
    for line in (
        f"@cert-authority {name} {PLAIN}",
        f"{name} ssh-ed25519",
        f"{name} ssh-ed25519 ***",
        f"|1|not-base64 {PLAIN}",
        f"|1|c2FsdA==|c2FsdA== {PLAIN}",
        "",
    ):
        assert "is not known" in verdict(file, f"{line}\n"), line


def test_the_usual_files_may_be_missing_and_a_named_one_may_not(person: Person) -> None:
    assert [k for k in HostKeys("door.example.org").known() if not k.where.startswith("/etc")] == []
    folder = person.home / ".ssh"
    folder.mkdir()
    (folder / "known_hosts").write_text(f"door.example.org {PLAIN}\n")
    assert HostKeys("door.example.org").known()[0].where == "~/.ssh/known_hosts:1"
    with pytest.raises(CredentialError, match="known_hosts ~/none: No such file"):
        HostKeys("door.example.org", 22, "~/none").known()


@pytest.fixture
def login(sftp_server: Sshd, person: Person) -> str:
    """An SFTP server that nobody knows yet."""
    key = person.secret("id", (sftp_server.directory / "user_key").read_text())
    address = f"sftp://127.0.0.1:{sftp_server.port}"
    person.credentials(**{address: {"username": getpass.getuser(), "key_file": str(key)}})
    return address


def know(person: Person, sftp_server: Sshd) -> None:
    """What the hint says: `ssh-keyscan … >> ~/.ssh/known_hosts`."""
    argv = ["ssh-keyscan", "-T", "60", "-p", str(sftp_server.port), "127.0.0.1"]
    keys = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    (person.home / ".ssh").mkdir(exist_ok=True)
    (person.home / ".ssh" / "known_hosts").write_text(keys)


def test_a_server_that_is_not_known_gets_no_login(
    login: str,
    person: Person,
    sftp_server: Sshd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logins: list[str] = []
    login_of = paramiko.Transport.auth_publickey

    def watched(self: paramiko.Transport, username: str, *rest: object) -> object:
        logins.append(username)
        return login_of(self, username, *rest)

    monkeypatch.setattr(paramiko.Transport, "auth_publickey", watched)
    (tmp_path / "f").write_text("x")
    with pytest.raises(Denied, match=r"\[127.0.0.1\]:\d+ is not known") as caught:
        copy_file(str(tmp_path / "f"), f"{login}{tmp_path}/g")
    scan = f"ssh-keyscan -p {sftp_server.port} 127.0.0.1 >> ~/.ssh/known_hosts"
    assert scan in str(caught.value.hint)
    assert logins == []
    know(person, sftp_server)
    assert copy_file(str(tmp_path / "f"), f"{login}{tmp_path}/g").nbytes == 1
    assert logins == [getpass.getuser()]


def test_a_server_with_another_key_than_before_gets_no_login(
    login: str, person: Person, sftp_server: Sshd, tmp_path: Path
) -> None:
    know(person, sftp_server)
    sftp_server.stop()
    sftp_server.new_key("host_key")
    sftp_server.start("Subsystem sftp internal-sftp")
    (tmp_path / "f").write_text("x")
    with pytest.raises(Denied, match="is not the one that is known") as caught:
        copy_file(f"{login}{tmp_path}/f", str(tmp_path / "g"))
    assert f"ssh-keygen -R '[127.0.0.1]:{sftp_server.port}'" in str(caught.value.hint)
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize("known", ["rsa", "ecdsa", "ed25519"])
def test_of_several_host_keys_the_one_that_is_known_is_asked_for(
    login: str, person: Person, sftp_server: Sshd, tmp_path: Path, known: str
) -> None:
    lines = []
    for kind in ("rsa", "ecdsa", "ed25519"):
        file = sftp_server.directory / f"host_{kind}"
        if not file.exists():
            bits = ["-b", "2048"] if kind == "rsa" else []
            argv = ["ssh-keygen", "-q", "-t", kind, *bits, "-N", "", "-f", file]
            subprocess.run(argv, check=True)
        lines.append(f"HostKey {file}")
    sftp_server.stop()
    sftp_server.start("Subsystem sftp internal-sftp\n" + "\n".join(lines))
    kind, key, *_ = (sftp_server.directory / f"host_{known}.pub").read_text().split()
    hosts = person.home / "hosts"
    hosts.write_text(f"[127.0.0.1]:{sftp_server.port} {kind} {key}\n")
    person.credentials(
        **{
            login: {
                "username": getpass.getuser(),
                "key_file": "~/id",
                "known_hosts": "~/hosts",
            }
        }
    )
    (tmp_path / "f").write_text("x")
    fs, path = fsspec.url_to_fs(f"{login}{tmp_path}/f", **storage_options(login))
    assert fs.cat_file(path) == b"x"
    shown = fs.client.get_transport().get_remote_server_key()
    assert (shown.get_name(), shown.get_base64()) == (kind, key)
    fs.client.close()


def test_what_checks_is_a_reference(login: str) -> None:
    factory = storage_options(login)["transport_factory"]
    assert pickle.loads(pickle.dumps(factory)) == factory
    assert storage_options("ssh://nobody@door.example.org:2222/x") == {
        "transport_factory": HostKeys("door.example.org", 2222)
    }
    assert Credential.from_options(known_hosts="~/hosts").storage_options("sftp://d/x") == {
        "transport_factory": HostKeys("d", 22, "~/hosts")
    }
