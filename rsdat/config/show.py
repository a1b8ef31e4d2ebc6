"""A resolved site as YAML that could be a site file, on demand with each value's origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rsdat.config.draft import scalar
from rsdat.config.origin import DEFAULT, Origin

if TYPE_CHECKING:
    from rsdat.config.load import LoadedSite


def site_text(loaded: LoadedSite, *, origin: bool = False) -> str:
    """All values of the site; with ``origin``, where each came from in a comment beside it.

    Keys without a value are left out, except that with ``origin`` one that a layer has emptied is
    shown as null.
    """
    lines = list(_lines(loaded.site.model_dump(mode="json"), loaded.origins, ()))
    width = max(len(text) for text, _ in lines)
    return "".join(
        f"{text.ljust(width)}  # {came}\n" if origin and came else f"{text}\n"
        for text, came in lines
        if origin or not text.endswith(": null")
    )


def _lines(
    section: Mapping[str, Any], origins: Mapping[str, Origin], place: tuple[str, ...]
) -> Iterator[tuple[str, Origin | None]]:
    indent = "  " * len(place)
    for key, value in section.items():
        path = (*place, key)
        came = origins.get(".".join(path), DEFAULT)
        if isinstance(value, dict) and not value:
            continue
        if isinstance(value, dict):
            yield f"{indent}{scalar(key)}:", None
            yield from _lines(value, origins, path)
        elif value is not None or came != DEFAULT:
            written = [scalar(item) for item in value] if isinstance(value, list) else None
            text = scalar(value) if written is None else f"[{', '.join(written)}]"
            yield f"{indent}{key}: {text}", came
