"""How a notebook shows a chain: its steps and what it makes of what, without opening a file."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rsdat.raster.estimate import grid_words, span_words, step_words
from rsdat.raster.masks import mask_text

if TYPE_CHECKING:
    from rsdat.raster.chains.builder import Chain

# No colours but of the lines: the notebook's own theme, dark or light, has the rest.
_STYLE = (
    "display:inline-block;border:1px solid rgba(128,128,128,.45);border-radius:6px;"
    "padding:.5em .9em;font-size:.95em;line-height:1.5;max-width:60em"
)
_NAME = "text-align:left;vertical-align:top;padding:0 1.2em 0 0;font-weight:600;border:0"
_VALUE = "text-align:left;padding:0;border:0"


def html(chain: Chain) -> str:
    """A small table. The grid is told as asked for until the chain has been planned."""
    planned = "plan" in vars(chain)  # cached_property keeps it there
    grid = grid_words(chain.geobox) if planned else _asked(chain)
    rows = [
        ("from", f"{len(chain.items)} items, {span_words(chain.dates)}"),
        ("bands", ", ".join(chain.source_bands)),
        *[("mask", mask_text(one.band, one.decide, one.options)) for one in chain.masks],
        *[("then", step_words(step.words())) for step in chain.steps],
        ("gives", f"{', '.join(chain.bands)}; {_times(chain)}"),
        ("grid", grid),
    ]
    if chain.skipped:
        rows.append(("left out", ", ".join(one.item for one in chain.skipped)))
    body = "".join(
        f'<tr style="background:none"><th style="{_NAME}">{escape(name)}</th>'
        f'<td style="{_VALUE}">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return (
        f'<div style="{_STYLE}"><div style="opacity:.7">rsdat.Chain</div>'
        f'<table style="border:0;margin:.2em 0 0;background:none">{body}</table></div>'
    )


def _asked(chain: Chain) -> str:
    asked = chain.request
    if asked.geobox is not None:
        return grid_words(asked.geobox)
    parts = [
        f"{name} {value}"
        for name, value in (
            ("bbox", asked.bbox),
            ("resolution", asked.resolution),
            ("crs", asked.crs),
        )
        if value is not None
    ]
    return ", ".join(parts) or "that of the files"


def _times(chain: Chain) -> str:
    times = chain.times
    if times is None:
        return "one image"
    return f"{len(times)} date{'s' if len(times) != 1 else ''}, {span_words(times)}"
