"""Where the files of each layer lie: shipped with rsdat, in /etc/rsdat, in the user's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rsdat.config.origin import Layer

ADMIN_DIRECTORY = Path("/etc/rsdat")
DEFAULTS = "defaults.yaml"


def shipped_directory() -> Path:
    """The directory above the shipped ``sites``: inside the package in a wheel, else beside it.

    It also holds ``schema.json``.
    """
    package = Path(__file__).resolve().parents[1]
    inside = package / "_shipped"
    return inside if inside.is_dir() else package.parent / "config"


@dataclass(frozen=True)
class Places:
    """The three directories, each with ``sites/NAME.yaml`` and ``defaults.yaml``."""

    shipped: Path
    admin: Path
    user: Path

    def directories(self) -> Iterator[tuple[Layer, Path]]:
        """Layer and directory, the lowest first."""
        yield Layer.SHIPPED, self.shipped
        yield Layer.ADMIN, self.admin
        yield Layer.USER, self.user

    def files(self, name: str) -> list[tuple[Layer, Path]]:
        """The files that describe a site, the lowest first; empty when there is no such site.

        Defaults alone do not make a site, so they count only beside a file of the site's own.
        """
        own = [path for _, path in self.site_files(name)]
        if not own:
            return []
        candidates = [
            (layer, path)
            for layer, directory in self.directories()
            for path in (directory / DEFAULTS, site_file(directory, name))
        ]
        return [(layer, path) for layer, path in candidates if path.is_file()]

    def site_files(self, name: str) -> list[tuple[Layer, Path]]:
        """The files of this name, the lowest first."""
        found = [(layer, site_file(directory, name)) for layer, directory in self.directories()]
        return [(layer, path) for layer, path in found if path.is_file()]

    def names(self) -> list[str]:
        """Names of all sites, sorted."""
        return sorted(
            {
                path.stem
                for _, directory in self.directories()
                for path in (directory / "sites").glob("*.yaml")
                if path.is_file()
            }
        )

    def layer_of(self, path: Path) -> Layer | None:
        """The layer that a file belongs to by where it lies; None for a file elsewhere."""
        for layer, directory in self.directories():
            inside = path.parent.resolve() == (directory / "sites").resolve()
            if inside or same_place(path, directory / DEFAULTS):
                return layer
        return None


def same_place(one: Path, other: Path) -> bool:
    """Whether two paths name the same entry of the same directory, be it a link to elsewhere."""
    return one.name == other.name and one.parent.resolve() == other.parent.resolve()


def site_file(directory: Path, name: str) -> Path:
    """The file of a site in one of the directories."""
    return directory / "sites" / f"{name}.yaml"


def places(environ: Mapping[str, str]) -> Places:
    """The directories; the user's is ``RSDAT_CONFIG_DIR``, else ``$XDG_CONFIG_HOME/rsdat``."""
    if own := environ.get("RSDAT_CONFIG_DIR"):
        user = Path(own)
    elif xdg := environ.get("XDG_CONFIG_HOME"):
        user = Path(xdg) / "rsdat"
    else:
        user = Path(environ.get("HOME") or Path.home()) / ".config" / "rsdat"
    return Places(shipped_directory(), ADMIN_DIRECTORY, user)
