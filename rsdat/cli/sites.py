"""From the word a person typed to a site and a connected host; an unknown host is drafted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rsdat.cli.progress import Line

if TYPE_CHECKING:
    from rsdat.config.models import Site
    from rsdat.host.base import Host

#: Option of `rsdat launch` -> the keys of the site that it sets.
_KEYS = {
    "walltime": ("head.walltime",),
    "cores": ("head.cores",),
    "memory": ("head.memory",),
    "partition": ("head.partition", "pools.*.partition"),
    "account": ("head.account", "pools.*.account"),
}


def overrides(**options: object) -> dict[str, object]:
    """Command-line options as site keys; those not given are left out."""
    return {
        key: value
        for option, value in options.items()
        if value is not None
        for key in _KEYS[option]
    }
