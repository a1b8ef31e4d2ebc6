"""Sites: what an admin writes, found in its layers and checked."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Name -> the module that defines it; resolved on first use, so that importing this room does not
# import pydantic.
_EXPORTS = {
    "InvalidSite": "rsdat.config.origin",
    "Layer": "rsdat.config.origin",
    "LoadedSite": "rsdat.config.load",
    "Option": "rsdat.config.variables",
    "Origin": "rsdat.config.origin",
    "Problem": "rsdat.config.origin",
    "Site": "rsdat.config.models",
    "SiteEntry": "rsdat.config.load",
    "SiteNotFound": "rsdat.config.origin",
    "lint": "rsdat.config.load",
    "load_drafted": "rsdat.config.load",
    "load_site": "rsdat.config.load",
    "site_names": "rsdat.config.load",
}

__all__ = [
    "InvalidSite",
    "Layer",
    "LoadedSite",
    "Option",
    "Origin",
    "Problem",
    "Site",
    "SiteEntry",
    "SiteNotFound",
    "lint",
    "load_drafted",
    "load_site",
    "site_names",
]

if TYPE_CHECKING:
    from rsdat.config.load import LoadedSite, SiteEntry, lint, load_drafted, load_site, site_names
    from rsdat.config.models import Site
    from rsdat.config.origin import InvalidSite, Layer, Origin, Problem, SiteNotFound
    from rsdat.config.variables import Option


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'rsdat.config' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
