"""How ssh reaches a compute node: through the login host, as the same user, with the same keys."""

from __future__ import annotations

from collections.abc import Mapping

from rsdat.host.names import check_host
from rsdat.host.places import state_directory

#: Seconds a node may take to answer; a node that may not be entered often drops packets.
NODE_TIMEOUT = 5

# A login host's own stanza (Host spider) does not apply to its nodes, but its keys do.
_INHERITED = (
    "identitiesonly",
    "identityagent",
    "pkcs11provider",
    "securitykeyprovider",
    "preferredauthentications",
)


def node_argv(
    node: str,
    *options: str,
    site: str,
    settings: Mapping[str, tuple[str, ...]],
    keys: tuple[str, ...] = (),
    ssh_config: str | None = None,
    proxy: str | None = None,
) -> list[str]:
    """Argv of an ssh to a compute node that never asks a question.

    Parameters
    ----------
    node
        The node's name inside the cluster.
    options
        Further options of ssh.
    site
        Names the cluster in the list of known nodes: ``c1`` is a node of many clusters, so its
        host key is kept as ``SITE-c1``. That list is our own file, because a person's known_hosts
        should hold the machines they chose. A node's key is accepted when first seen: the way
        there is inside a connection whose other end is verified.
    settings
        What ssh makes of its configuration for the login host (``ssh -G``).
    keys
        Key files that exist.
    ssh_config
        The site's own ssh configuration; a stanza for the node in it counts.
    proxy
        ProxyCommand that leads into the cluster; None from inside.
    """
    argv = ["ssh", "-T", "-n", *(["-F", ssh_config] if ssh_config else [])]
    chosen = {
        "BatchMode": "yes",
        "ConnectTimeout": str(NODE_TIMEOUT),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ForwardX11": "no",
        "ForwardAgent": "no",
        "LogLevel": "ERROR",
        "CheckHostIP": "no",
        **_host_keys(site, node, settings),
    }
    if proxy:
        chosen["ProxyCommand"] = proxy
    chosen |= {name: settings[name][0] for name in _INHERITED if name in settings}
    for name, value in chosen.items():
        argv += ["-o", f"{name}={value}"]
    for key in keys:
        argv += ["-i", key]
    for certificate in settings.get("certificatefile", ()):
        argv += ["-o", f"CertificateFile={certificate}"]
    user = settings.get("user", (None,))[0]
    return [*argv, *(["-l", user] if user else []), *options, "--", check_host(node)]


def _host_keys(site: str, node: str, settings: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    # Someone who does not check the login host's key (a test cluster made anew each day) cannot
    # be better off by checking those of the nodes behind it.
    if settings.get("stricthostkeychecking", ("ask",))[0] in ("no", "off", "false"):
        return {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null"}
    alias = "".join(c if c.isalnum() or c in "._-" else "_" for c in f"{site}-{node}")
    return {
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": f'"{str(state_directory() / "known_nodes").replace("%", "%%")}"',
        "HostKeyAlias": alias,
        "HashKnownHosts": "no",
        "UpdateHostKeys": "no",
    }
