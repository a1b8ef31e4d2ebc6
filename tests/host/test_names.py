"""Which names reach ssh, and which are refused before it."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

import pytest

from rsdat.config.models import Connection
from rsdat.errors import ConfigError, HostError
from rsdat.host import open_host, parse_host
from rsdat.host.local import LocalHost
from rsdat.host.names import check_socket_path, is_this_machine
from rsdat.host.places import control_directory, state_directory
from rsdat.host.ssh import SSHHost


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("spider", (None, "spider")),
        ("me@spider.example.org", ("me", "spider.example.org")),
        ("first.last@example.org@login", ("first.last@example.org", "login")),
        ("10.0.0.1", (None, "10.0.0.1")),
        ("fe80::1%eth0", (None, "fe80::1%eth0")),
    ],
)
def test_hosts_and_users_are_told_apart(text: str, parts: tuple[str | None, str]) -> None:
    assert parse_host(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=id",
        "me@-oProxyCommand=id",
        "-l@x",
        "@x",
        "me@",
        "a b",
        "a;id",
        "$(id)",
        "a\nb",
    ],
)
def test_what_ssh_or_a_shell_would_misread_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_host(text)


def test_a_site_cannot_bring_such_a_name_either() -> None:
    with pytest.raises(ConfigError, match="not a host name"):
        open_host(Connection.model_construct(host="-oProxyCommand=id", user=None, ssh_config=None))
    with pytest.raises(ConfigError, match="not a user name"):
        open_host(Connection.model_construct(host="spider", user="-x", ssh_config=None))


@pytest.mark.parametrize("path", ["relative", "/a b", "/a:b", "/%h", "/${HOME}", "/" + "x" * 107])
def test_a_socket_that_a_forward_would_misread_is_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        check_socket_path(path)


def test_this_machine_needs_no_ssh() -> None:
    own = socket.gethostname()
    assert is_this_machine(own)
    assert is_this_machine(own.upper(), getpass.getuser())
    assert isinstance(open_host(own), LocalHost)
    assert isinstance(open_host(Connection(host=own)), LocalHost)


def test_another_user_here_is_reached_by_ssh() -> None:
    assert isinstance(open_host(f"somebody@{socket.gethostname()}"), SSHHost)


def test_localhost_may_be_anything() -> None:
    assert not is_this_machine("localhost")


def test_without_a_host_it_is_this_machine() -> None:
    assert isinstance(open_host(None), LocalHost)
    assert isinstance(open_host(Connection()), LocalHost)


def test_a_host_is_named_as_the_user_names_it() -> None:
    assert open_host("me@spider").name == "me@spider"
    assert open_host(Connection(host="spider.example.org"), name="spider").name == "spider"


def test_the_control_directory_is_ours_alone(own_places: Path) -> None:
    assert control_directory() == own_places / "run" / "rsdat"
    assert control_directory().stat().st_mode & 0o777 == 0o700
    assert state_directory().stat().st_mode & 0o777 == 0o700


def test_an_open_control_directory_is_refused(own_places: Path) -> None:
    control_directory().chmod(0o755)
    with pytest.raises(HostError, match="open to others") as caught:
        control_directory()
    assert "chmod 700" in (caught.value.hint or "")


def test_a_link_in_its_place_is_refused(own_places: Path) -> None:
    (own_places / "elsewhere").mkdir(mode=0o700)
    (own_places / "run" / "rsdat").symlink_to(own_places / "elsewhere")
    with pytest.raises(HostError, match="somebody else"):
        control_directory()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_somebody_elses_directory_is_refused(own_places: Path) -> None:
    os.chown(control_directory(), 12345, -1)
    with pytest.raises(HostError, match="somebody else"):
        control_directory()


def test_a_runtime_directory_too_long_for_a_socket_is_not_used(
    own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = own_places / ("x" * 60)
    long.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert control_directory() == Path(f"/tmp/rsdat-{os.getuid()}")
