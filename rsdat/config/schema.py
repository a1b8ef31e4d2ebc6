"""The JSON schema of site files, for editors: ``python -m rsdat.config.schema FILE``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def site_schema() -> dict[str, Any]:
    """The schema of one file, which may be a layer of a site and so needs no key at all."""
    from rsdat.config.models import Site

    schema = Site.model_json_schema()
    del schema["required"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "A site of rsdat",
    }


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(site_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the schema to the file that is named."""
    if len(arguments) != 1:
        print("usage: python -m rsdat.config.schema FILE", file=sys.stderr)
        return 2
    Path(arguments[0]).write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
