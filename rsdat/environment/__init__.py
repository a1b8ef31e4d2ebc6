"""The Python environment of a site: made, checked, removed."""

from rsdat.environment.interpreter import interpreter

__all__ = ["interpreter"]
