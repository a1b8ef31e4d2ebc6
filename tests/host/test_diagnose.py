"""ssh's complaints, recorded from OpenSSH 8.0 to 9.9, and what a person is told."""

from __future__ import annotations

import pickle

import pytest

from rsdat.errors import HostError
from rsdat.host.diagnose import Attempt, HostTimeout, LoginRefused, explain, last_line

SPIDER = Attempt("spider", keys=("~/.ssh/id_ed25519",))

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Someone could be eavesdropping on you right now (man-in-the-middle attack)!
It is also possible that a host key has just been changed.
The fingerprint for the ED25519 key sent by the remote host is
SHA256:8d0gzW1ZR0ArdXv7dAeTTf3cWnRyfQHdVtuyOoYTQ0c.
Please contact your system administrator.
Add correct host key in /home/me/.ssh/known_hosts to get rid of this message.
Offending ED25519 key in /home/me/.ssh/known_hosts:12
Host key for login.example.org has changed and you have requested strict checking.
Host key verification failed.
"""

OPEN_KEY = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Permissions 0644 for '/home/me/.ssh/id_ed25519' are too open.
It is required that your private key files are NOT accessible by others.
This private key will be ignored.
Load key "/home/me/.ssh/id_ed25519": bad permissions
me@login.example.org: Permission denied (publickey).
"""

RECORDED = {
    "unknown name": (
        "ssh: Could not resolve hostname spidr: Name or service not known\n",
        "no host named spidr",
        "spelling",
    ),
    "unknown name on macOS": (
        "ssh: Could not resolve hostname spidr: nodename nor servname provided, or not known\n",
        "no host named spidr",
        "spelling",
    ),
    "no network": (
        "ssh: Could not resolve hostname login.example.org: Temporary failure in name resolution\n",
        "could not be looked up",
        "network",
    ),
    "refused": (
        "ssh: connect to host 127.0.0.1 port 1: Connection refused\n",
        "spider refused the connection (ssh: connect to host 127.0.0.1 port 1",
        "port",
    ),
    "timed out": (
        "ssh: connect to host 10.255.255.1 port 22: Connection timed out\n",
        "spider does not answer",
        "VPN",
    ),
    "timed out on macOS": (
        "ssh: connect to host 10.255.255.1 port 22: Operation timed out\n",
        "spider does not answer",
        "VPN",
    ),
    "silent behind a proxy": (
        "Connection timed out during banner exchange\n"
        "Connection to 10.255.255.1 port 22 timed out\n",
        "spider does not answer",
        "VPN",
    ),
    "no route": (
        "ssh: connect to host 10.0.0.9 port 22: No route to host\n",
        "no way to spider",
        "VPN",
    ),
    "key changed": (CHANGED, "the host key of spider is not the one in /home/me", "admins"),
    "key unknown": (
        "No ED25519 host key is known for login.example.org and you have requested strict "
        "checking.\nHost key verification failed.\n",
        "not known yet",
        "fingerprint: ssh spider",
    ),
    "wrong key": (
        "me@login.example.org: Permission denied (publickey).\n",
        "keys offered: ~/.ssh/id_ed25519",
        "registered",
    ),
    "second factor": (
        "me@login.example.org: Permission denied (publickey,keyboard-interactive).\n",
        "refused the login (it takes: publickey,keyboard-interactive",
        "rsdat connect",
    ),
    "open key": (OPEN_KEY, "others may read it", "chmod 600 /home/me/.ssh/id_ed25519"),
    "too many keys": (
        "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\n"
        "Disconnected from 10.0.0.1 port 22\n",
        "too many keys",
        "IdentitiesOnly",
    ),
    "no configuration": (
        "Can't open user config file /etc/rsdat/ssh: No such file or directory\n",
        "the ssh configuration /etc/rsdat/ssh cannot be read: No such file",
        "connection.ssh_config",
    ),
    "bad option": (
        "bad: line 2: Bad configuration option: foobar\n"
        "bad: terminating, 1 bad configuration options\n",
        "bad: line 2: Bad configuration option: foobar",
        "that line",
    ),
    "bad value": (
        'bad3 line 2: no argument after keyword "port"\n'
        "bad3: terminating, 1 bad configuration options\n",
        'bad3 line 2: no argument after keyword "port"',
        "that line",
    ),
    "overloaded": (
        "kex_exchange_identification: Connection closed by remote host\n"
        "Connection closed by 10.0.0.1 port 22\n",
        "closed the connection before the login",
        "overloaded",
    ),
    "old server": (
        "Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. "
        "Their offer: ssh-rsa,ssh-dss\n",
        "no host key type in common",
        "old",
    ),
    "expired password": (
        "Your password has expired.\nPassword change required but no TTY available.\n",
        "no further: Your password has expired.",
        "by hand",
    ),
    "maintenance": (
        "System is going down. Unprivileged users are not permitted to log in anymore. "
        "For technical details, see pam_nologin(8).\nConnection closed by 10.0.0.1 port 22\n",
        "System is going down",
        "by hand",
    ),
    "port taken": (
        "bind [127.0.0.1]:8888: Address already in use\n"
        "channel_setup_fwd_listener_tcpip: cannot listen to port: 8888\n"
        "Could not request local forwarding.\n",
        "port 8888 of this machine is taken",
        "lsof -i :8888",
    ),
    "port taken on the control connection": (
        "mux_client_forward: forwarding request failed: Port forwarding failed\n",
        "forwarding request failed",
        "ssh -v spider",
    ),
    "node behind a closed login host": (
        "channel 0: open failed: administratively prohibited: open failed\n"
        "stdio forwarding failed\n"
        "Connection closed by UNKNOWN port 65535\n",
        "does not forward connections",
        "AllowTcpForwarding",
    ),
    "node without ssh": (
        "Stdio forwarding request failed: Session open refused by peer\n"
        "kex_exchange_identification: Connection closed by remote host\n",
        "no way by ssh to spider",
        "connection.route",
    ),
    "too many at once": (
        "mux_client_request_session: session request failed: Session open refused by peer\n"
        "/bin/bash: line 1: exec: rsdat-no-control-connection: not found\n"
        "Connection closed by UNKNOWN port 65535\n",
        "another command at the same time",
        "Wait",
    ),
    "no connection any more": (
        "zsh:1: command not found: rsdat-no-control-connection\n"
        "Connection closed by UNKNOWN port 65535\n",
        "no connection to spider any more",
        "rsdat connect",
    ),
    "something new": ("Welcome!\nkex_foo: bar\nThe gremlins are out.\n", "The gremlins are", "-v"),
    "nothing at all": ("", "ssh gave no reason", "ssh -v spider"),
}


@pytest.mark.parametrize("case", RECORDED)
def test_the_cause_and_the_next_step_are_said(case: str) -> None:
    stderr, message, hint = RECORDED[case]
    error = explain(stderr, SPIDER)
    assert message in error.message
    assert error.hint
    assert hint in error.hint


@pytest.mark.parametrize("case", ["wrong key", "second factor", "key unknown", "too many keys"])
def test_what_a_person_could_settle_is_a_refused_login(case: str) -> None:
    assert isinstance(explain(RECORDED[case][0], SPIDER), LoginRefused)


@pytest.mark.parametrize("case", ["refused", "timed out", "key changed", "unknown name"])
def test_what_no_login_settles_is_not(case: str) -> None:
    assert not isinstance(explain(RECORDED[case][0], SPIDER), LoginRefused)


def test_a_banner_before_the_complaint_does_not_hide_it() -> None:
    banner = "*" * 60 + "\n* Unauthorised use is an offence. Connection is logged. *\n"
    error = explain(banner + "me@login: Permission denied (publickey).\n", SPIDER)
    assert "refused the login" in error.message


def test_a_person_who_was_asked_is_not_told_to_be_asked() -> None:
    error = explain("me@x: Permission denied (password).\n", Attempt("x", interactive=True))
    assert "rsdat connect" not in (error.hint or "")


def test_the_ssh_configuration_of_the_site_is_part_of_the_hint() -> None:
    error = explain("oops\n", Attempt("login", ssh_config="/etc/rsdat/ssh"))
    assert error.hint == "See what ssh says: ssh -v -F /etc/rsdat/ssh login"


def test_last_line_skips_closing_remarks() -> None:
    assert last_line("real cause\nmux_client_read_packet: read header failed\n\n") == "real cause"


def test_a_timeout_is_both_kinds_of_error_and_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(HostTimeout("slow", hint="wait")))
    assert isinstance(error, TimeoutError)
    assert isinstance(error, HostError)
    assert (error.message, error.hint, error.exit_code) == ("slow", "wait", 4)
