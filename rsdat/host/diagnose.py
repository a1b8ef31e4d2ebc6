"""What ssh's complaints mean, in plain words with the next step; pure, tested on recorded text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rsdat.errors import HostError

# Stands in for a network connection where there must be none: a client that finds no control
# connection would log in by itself, perhaps asking. It runs this instead; whatever the shell, its
# complaint names the program that is not there, and says for certain that nothing has been run.
NO_CONTROL = "rsdat-no-control-connection"


class LoginRefused(HostError):
    """The host answers, but does not let us in without a person at the keyboard."""


class FateUnknown(HostError):
    """The connection broke while a command was running: whether it did its work is not known."""


class HostTimeout(HostError, TimeoutError):
    """A command did not end in the time it was given; it may still be running there."""


@dataclass(frozen=True)
class Attempt:
    """What was tried, for the message."""

    host: str
    """As the user names it."""
    ssh_config: str | None = None
    keys: tuple[str, ...] = ()
    """Key files that ssh offered, as far as they exist."""
    interactive: bool = False


@dataclass(frozen=True)
class _Rule:
    pattern: str
    explain: Callable[[re.Match[str], Attempt], HostError]


def explain(stderr: str, attempt: Attempt) -> HostError:
    """Turn what ssh printed while connecting into an error that says the cause and the next step.

    Parameters
    ----------
    stderr
        All that ssh printed, banners included.
    attempt
        What was tried.

    Returns
    -------
    HostError
        :class:`LoginRefused` where a login by a person could help.
    """
    for rule in _RULES:
        match = re.search(rule.pattern, stderr, re.IGNORECASE | re.MULTILINE)
        if match:
            return rule.explain(match, attempt)
    return HostError(
        f"{attempt.host} could not be reached: {last_line(stderr) or 'ssh gave no reason'}",
        hint=f"See what ssh says: {ssh_command(attempt, '-v')}",
    )


def last_line(text: str) -> str:
    """Return the last line that says something; ssh's closing remarks say nothing."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not re.match(r"(mux_|kex_|Pseudo-terminal)", line)]
    return (telling or lines or [""])[-1]


def ssh_command(attempt: Attempt, *options: str) -> str:
    """Return the ssh command that a person would type to see the same for themselves."""
    config = ["-F", attempt.ssh_config] if attempt.ssh_config else []
    return " ".join(["ssh", *options, *config, attempt.host])


def _unknown_name(match: re.Match[str], attempt: Attempt) -> HostError:
    name, why = match.group(1), match.group(2).strip()
    if "emporary" in why:
        return HostError(
            f"{name} could not be looked up: {why}",
            hint="Is this machine on a network? Does the site need a VPN?",
        )
    where = attempt.ssh_config or "~/.ssh/config"
    return HostError(
        f"there is no host named {name}"
        + ("" if name == attempt.host else f" (for {attempt.host})"),
        hint=f"Check the spelling; an alias belongs in {where}. `rsdat site list` shows the sites.",
    )


def _refused(match: re.Match[str], attempt: Attempt) -> HostError:
    return HostError(
        f"{attempt.host} refused the connection ({match.group(0).strip()})",
        hint="The machine is up, but no ssh server answers there: check the port, or try later.",
    )


def _no_answer(match: re.Match[str], attempt: Attempt) -> HostError:
    return HostError(
        f"{attempt.host} does not answer ({match.group(0).strip()})",
        hint="Check the network and whether the site needs a VPN; it may also be down.",
    )


def _no_route(match: re.Match[str], attempt: Attempt) -> HostError:
    return HostError(
        f"there is no way to {attempt.host} from here ({match.group(1)})",
        hint="Check the network and whether the site needs a VPN.",
    )


def _key_changed(match: re.Match[str], attempt: Attempt) -> HostError:
    file, line = match.group(1), match.group(2)
    return HostError(
        f"the host key of {attempt.host} is not the one in {file}:{line}",
        hint="Ask the site's admins whether it was renewed. Only then remove the old one: "
        f"ssh-keygen -f {file} -R '[name as in that line]', or delete line {line}.",
    )


def _key_unknown(_match: re.Match[str], attempt: Attempt) -> HostError:
    return LoginRefused(
        f"the host key of {attempt.host} is not known yet, and nobody was there to accept it",
        hint=f"Log in once by hand and compare the fingerprint: {ssh_command(attempt)}",
    )


def _denied(match: re.Match[str], attempt: Attempt) -> HostError:
    methods = match.group(1)
    keys = f"; keys offered: {', '.join(attempt.keys)}" if attempt.keys else ""
    asks = "password" in methods or "keyboard-interactive" in methods
    if asks and not attempt.interactive:
        hint = (
            "It asks for a password or second factor: run `rsdat connect`, or "
            f"{ssh_command(attempt)}"
        )
    elif asks:
        hint = "Check the user name, the password and the second factor."
    else:
        hint = (
            "Is the user name right, is the public key registered with the site, and is the key "
            "in the agent (ssh-add -l)?"
        )
    return LoginRefused(f"{attempt.host} refused the login (it takes: {methods}{keys})", hint=hint)


def _too_many_keys(_match: re.Match[str], attempt: Attempt) -> HostError:
    return LoginRefused(
        f"{attempt.host} gave up after too many keys were offered",
        hint="Name the right one for this host in your ssh configuration: "
        "IdentityFile and IdentitiesOnly yes.",
    )


def _no_config(match: re.Match[str], _attempt: Attempt) -> HostError:
    return HostError(
        f"the ssh configuration {match.group(1)} cannot be read: {match.group(2).strip()}",
        hint="Correct connection.ssh_config of the site.",
    )


def _bad_config(match: re.Match[str], _attempt: Attempt) -> HostError:
    return HostError(
        f"ssh does not accept its configuration: {match.group(0).strip()}",
        hint="Correct that line of the ssh configuration.",
    )


def _open_key(match: re.Match[str], _attempt: Attempt) -> HostError:
    return LoginRefused(
        f"ssh ignores the key {match.group(1)}: others may read it",
        hint=f"Run: chmod 600 {match.group(1)}",
    )


def _closed(match: re.Match[str], attempt: Attempt) -> HostError:
    return HostError(
        f"{attempt.host} closed the connection before the login ({match.group(0).strip()})",
        hint="It may be overloaded, or have blocked this address after failed logins: wait a few "
        f"minutes, then look: {ssh_command(attempt, '-v')}",
    )


def _no_agreement(match: re.Match[str], attempt: Attempt) -> HostError:
    return HostError(
        f"this machine's ssh and {attempt.host} have no {match.group(1)} in common",
        hint="One of the two is very old: update ssh, or ask the site's admins.",
    )


def _expired(match: re.Match[str], attempt: Attempt) -> HostError:
    return LoginRefused(
        f"{attempt.host} let us in but no further: {match.group(0).strip()}",
        hint=f"Settle that by logging in by hand: {ssh_command(attempt)}",
    )


def _too_many_sessions(_match: re.Match[str], attempt: Attempt) -> HostError:
    return HostError(
        f"{attempt.host} does not allow another command at the same time (MaxSessions)",
        hint="Wait for the others to end, then try again.",
    )


def _port_taken(match: re.Match[str], _attempt: Attempt) -> HostError:
    return port_taken(int(match.group(1)))


def _no_forwarding(_match: re.Match[str], attempt: Attempt) -> HostError:
    return HostError(
        f"{attempt.host} does not forward connections (forbidden, or nothing listens there)",
        hint="Ask the site's admins whether AllowTcpForwarding and AllowStreamLocalForwarding "
        "are on.",
    )


def _no_way_in(_match: re.Match[str], attempt: Attempt) -> HostError:
    return HostError(
        f"there is no way by ssh to {attempt.host}: it takes none, its name is not known there, or "
        "the login host does not forward",
        hint="Sessions are also reached by TCP through the login host: set connection.route of "
        "the site to tcp.",
    )


def _no_control(_match: re.Match[str], attempt: Attempt) -> HostError:
    return HostError(
        f"there is no connection to {attempt.host} any more", hint="Start one: `rsdat connect`."
    )


def port_taken(port: int) -> HostError:
    """Return the error for a local port that another program holds."""
    return HostError(
        f"port {port} of this machine is taken by another program",
        hint=f"Close that program (lsof -i :{port} names it), or choose another port.",
    )


def keys_of(identity_files: Sequence[str]) -> tuple[str, ...]:
    """Key files that exist, out of those that ssh would try."""
    import os

    return tuple(f for f in identity_files if os.path.exists(os.path.expanduser(f)))


# Order matters: ssh adds general remarks (Host key verification failed, Connection closed) after
# the telling one.
_RULES = (
    _Rule(r"Can't open user config file ([^:]+): (.+)", _no_config),
    _Rule(r"Bad owner or permissions on .+", _bad_config),
    _Rule(r"^\S+ line \d+: .+$(?=[\s\S]* bad configuration options)", _bad_config),
    _Rule(r"Could not resolve hostname ([^:]+): (.+)", _unknown_name),
    _Rule(
        r"(?:cannot listen to port|Local forwarding on port|bind \[[^\]]*\]:) ?(\d+)", _port_taken
    ),
    _Rule(r"Offending .+ key in (.+?):(\d+)", _key_changed),
    _Rule(r"(?:No \S+ host key is known|Host key verification failed)", _key_unknown),
    _Rule(r"Stdio forwarding request failed", _no_way_in),
    _Rule(r"Session open refused by peer", _too_many_sessions),
    _Rule(re.escape(NO_CONTROL), _no_control),
    _Rule(r"Too many authentication failures", _too_many_keys),
    _Rule(r"Permissions \d+ for '([^']+)' are too open", _open_key),
    _Rule(r"Permission denied \(([^)]+)\)", _denied),
    _Rule(r"no matching (.+?) found", _no_agreement),
    _Rule(
        r".*(?:password has expired|account has expired|account is currently not available|"
        r"System is booting up|pam_nologin|going down).*",
        _expired,
    ),
    _Rule(r"(?:ssh: )?connect to .*Connection refused|Connection refused", _refused),
    _Rule(r".*(?:Connection|Operation) timed out.*|Connection to .* timed out.*", _no_answer),
    _Rule(r".*Timeout, server .* not responding.*", _no_answer),
    _Rule(r"(No route to host|Network is unreachable|Host is down)", _no_route),
    _Rule(
        r"stdio forwarding failed|administratively prohibited",
        _no_forwarding,
    ),
    _Rule(r".*Connection (?:closed|reset) by .*|.*Connection closed by remote host.*", _closed),
)
