"""Credentials of a session: private, complete, and the only key to its scheduler."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rsdat.cluster import security
from rsdat.cluster.layout import Layout


def mode(path: object) -> int:
    return stat.S_IMODE(Path(str(path)).stat().st_mode)


def test_files_are_readable_by_their_owner_only(layout: Layout) -> None:
    security.make_credentials(layout)
    assert mode(layout.ca.parent) == 0o700
    assert {mode(path) for path in (layout.ca, layout.cert, layout.key)} == {0o600}


def test_credentials_outlive_any_session(layout: Layout) -> None:
    from cryptography import x509

    security.make_credentials(layout)
    certificate = x509.load_pem_x509_certificate(Path(layout.cert).read_bytes())
    assert certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=365)
    assert certificate.not_valid_before_utc < datetime.now(UTC) - timedelta(hours=1)


def test_the_authority_has_signed_the_certificate_and_left_no_key(layout: Layout) -> None:
    from cryptography import x509

    security.make_credentials(layout)
    authority = x509.load_pem_x509_certificate(Path(layout.ca).read_bytes())
    certificate = x509.load_pem_x509_certificate(Path(layout.cert).read_bytes())
    certificate.verify_directly_issued_by(authority)
    assert authority.public_key() != certificate.public_key()
    assert sorted(p.name for p in Path(layout.ca).parent.iterdir()) == [
        "ca.pem",
        "cert.pem",
        "key.pem",
    ]


def test_making_them_again_keeps_them(layout: Layout) -> None:
    security.make_credentials(layout)
    before = Path(layout.key).read_bytes()
    security.make_credentials(layout)
    assert Path(layout.key).read_bytes() == before


def test_an_interrupted_attempt_leaves_nothing_half_written(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = security._write_private

    def fail_at_the_key(path: Path, content: bytes) -> None:
        if path.name == "key.pem":
            raise OSError(28, "No space left on device")
        written(path, content)

    monkeypatch.setattr(security, "_write_private", fail_at_the_key)
    with pytest.raises(OSError, match="No space"):
        security.make_credentials(layout)
    assert [p.name for p in Path(layout.directory).iterdir()] == ["site.json"]
