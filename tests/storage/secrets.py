"""A person's secrets below a temporary home, and the ``credentials`` section that names them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dcache import macaroons


@dataclass
class Person:
    """A home with a configuration directory of its own."""

    home: Path

    def secret(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a secret below the home, under a temporary name first."""
        file, new = self.home / name, self.home / f"{name}.new"
        new.write_text(text)
        new.chmod(mode)
        return new.rename(file)

    def credentials(self, **entries: Any) -> None:
        """The ``credentials`` section of ``defaults.yaml``; addresses as keywords of a dict."""
        file = self.home / "config" / "defaults.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump({"credentials": entries}))


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RSDAT_CONFIG_DIR", str(home / "config"))
    for name in ("RSDAT_SESSION", "RSDAT_SITE"):
        monkeypatch.delenv(name, raising=False)
    return Person(home)


def macaroon(*caveats: str) -> str:
    """A macaroon, version 1, as dCache writes it."""
    return macaroons.make(b"key", "identifier", caveats).serialized()


def jwt(**claims: Any) -> str:
    """A JSON web token with a signature that nobody checks."""
    parts = [json.dumps({"alg": "none"}), json.dumps(claims), "signature"]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def before(**delta: float) -> str:
    """The caveat that ends a macaroon so long from now."""
    return "before:" + (datetime.now(UTC) + timedelta(**delta)).isoformat().replace("+00:00", "Z")
