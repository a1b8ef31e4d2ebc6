"""The schema for editors is the models', and says of a file what the models say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rsdat.config.places import shipped_directory
from rsdat.config.schema import schema_text, site_schema

SHIPPED = shipped_directory()


def test_the_committed_schema_is_current(tmp_path: Path) -> None:
    made = tmp_path / "schema.json"
    subprocess.run([sys.executable, "-m", "rsdat.config.schema", str(made)], check=True)
    assert made.read_text() == schema_text()
    committed = (SHIPPED / "schema.json").read_text()
    assert committed == schema_text(), "run `make schema` and commit config/schema.json"


def test_a_file_needs_no_key_and_has_no_unknown_one() -> None:
    schema = site_schema()
    assert "required" not in schema
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) >= {"name", "head", "pools", "limits", "environment"}


def test_editors_accept_the_shipped_sites_and_refuse_an_unknown_key() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from rsdat.config.document import parse_document
    from rsdat.config.origin import Layer

    check = jsonschema.Draft202012Validator(site_schema())
    for file in sorted((SHIPPED / "sites").glob("*.yaml")):
        values, _ = parse_document(file.read_text(), file=file.name, layer=Layer.SHIPPED)
        assert list(check.iter_errors(values.nested())) == [], file.name
    assert list(check.iter_errors({"hed": {}}))
