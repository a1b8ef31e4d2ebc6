"""The Python environment of a site: made, checked, removed."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Bound at once: a module and its function share this name, and the module would win later.
from rsdat.environment.interpreter import interpreter

# Name -> the module that defines it; resolved on first use: the job queue asks for the interpreter
# alone.
_EXPORTS = {
    "Difference": "rsdat.environment.comparison",
    "Installed": "rsdat.environment.installation",
    "advice": "rsdat.environment.comparison",
    "check": "rsdat.environment.comparison",
    "install": "rsdat.environment.installation",
    "uninstall": "rsdat.environment.installation",
}

__all__ = [
    "Difference",
    "Installed",
    "advice",
    "check",
    "install",
    "interpreter",
    "uninstall",
]

if TYPE_CHECKING:
    from rsdat.environment.comparison import Difference, advice, check
    from rsdat.environment.installation import Installed, install, uninstall


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'rsdat.environment' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
