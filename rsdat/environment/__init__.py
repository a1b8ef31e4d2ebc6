"""The Python environment of a site: made, checked, removed."""

from rsdat.environment.check import Difference, check
from rsdat.environment.install import Installed, install, uninstall
from rsdat.environment.interpreter import interpreter

__all__ = ["Difference", "Installed", "check", "install", "interpreter", "uninstall"]
