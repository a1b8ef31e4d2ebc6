"""A picture of where a catalog's items are: outlines on a grid of degrees, as PNG.

``land.json`` is Natural Earth's map of the countries at 1:110 million (public domain), joined and
made simpler by 0.15 degrees: polygons with their holes.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from rasterio.features import rasterize
from rasterio.transform import from_bounds
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from rsdat.catalog.summarising import Summary
from rsdat.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_WIDTH, _MARGIN, _LINE = 1000, 90, 24
# Told apart by people who do not see all colours (Okabe and Ito), too.
_COLOURS = [
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
]
_INK, _GRID, _PAPER = (60, 60, 60), (215, 215, 215), (255, 255, 255)
_LAND, _OTHERS = (240, 238, 230), (110, 110, 110)
#: Degrees across from which on land is drawn: closer, its coast would be in a wrong place.
_FAR = 8.0
#: Degrees around what has no extent: a kilometre.
_ALONE = 0.01
#: Beyond this number the outlines would cover what they enclose.
_OUTLINES = 1500


@dataclass(frozen=True)
class Frame:
    """The part of the world that is drawn, and its size in pixels."""

    west: float
    south: float
    east: float
    north: float
    width: int
    height: int

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Where a place in degrees is, from the upper left corner of the picture."""
        across = (x - self.west) / (self.east - self.west) * self.width
        down = (self.north - y) / (self.north - self.south) * self.height
        return _MARGIN + across, _MARGIN + down


def draw_map(summaries: Sequence[Summary]) -> bytes:
    """Draw the outlines of the items of collections, each in its colour: the darker, the more.

    Returns
    -------
    A PNG. Equirectangular; scaled so that shapes are right in the middle of the picture.

    Raises
    ------
    DataError
        There are no outlines.
    """
    from PIL import Image, ImageDraw, ImageFont

    outlined = _layers(summaries)
    if not outlined:
        raise DataError("no item says where it is", hint="give the items geometries")
    shift = _turn([area for one in outlined for area in one.areas])
    layers = [replace(one, areas=[_turned(area, shift) for area in one.areas]) for one in outlined]
    frame = _frame([area for one in layers for area in one.areas], 360.0 if shift else 180.0)
    size = (frame.width + 2 * _MARGIN, frame.height + 2 * _MARGIN + _LINE * len(layers))
    picture = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(14)
    if frame.east - frame.west > _FAR:
        _land(picture, frame)
    _grid(pen, frame, font)
    for number, layer in enumerate(layers):
        most = _fill(picture, frame, layer.areas, layer.colour)
        if len(layer.areas) <= _OUTLINES:
            for area in layer.areas:
                _outline(pen, frame, area, layer.colour)
        y = frame.height + 2 * _MARGIN + _LINE * number - 38
        pen.rectangle((_MARGIN, y, _MARGIN + 14, y + 14), fill=layer.colour)
        text = f"{layer.name}: {layer.items} item{'s' if layer.items != 1 else ''}"
        text += f", up to {most} at one place" if most > 1 else ""
        pen.text((_MARGIN + 22, y - 2), text, fill=_INK, font=font)
    pen.rectangle((_MARGIN, _MARGIN, _MARGIN + frame.width, _MARGIN + frame.height), outline=_INK)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


@dataclass(frozen=True)
class _Layer:
    """What is drawn in one colour."""

    name: str
    items: int
    areas: list[BaseGeometry]
    colour: tuple[int, int, int]


def _layers(summaries: Sequence[Summary]) -> list[_Layer]:
    """A layer for each collection; where there are more than colours, the smallest share one."""
    drawn = [one for one in summaries if one.areas]
    most = len(_COLOURS) if len(drawn) <= len(_COLOURS) else len(_COLOURS) - 1
    large = sorted(drawn, key=lambda one: -one.items)[:most]
    own = [one for one in drawn if any(one is other for other in large)]
    layers = [
        _Layer(one.collection or "(no collection)", one.items, list(one.areas), colour)
        for one, colour in zip(own, _COLOURS, strict=False)
    ]
    rest = [one for one in drawn if not any(one is other for other in large)]
    if rest:
        areas = [area for one in rest for area in one.areas]
        items = sum(one.items for one in rest)
        # Beneath the others: it is the least that is asked for.
        layers.insert(0, _Layer(f"{len(rest)} other collections", items, areas, _OTHERS))
    return layers


def _turn(areas: Sequence[BaseGeometry]) -> bool:
    """Whether the picture is better centred on the antimeridian."""
    edges = np.array([part.bounds for part in shapely.get_parts(areas)])
    plain = edges[:, 2].max() - edges[:, 0].min()
    west = np.where(edges[:, 2] <= 0, edges[:, 0] + 360, edges[:, 0])
    east = np.where(edges[:, 2] <= 0, edges[:, 2] + 360, edges[:, 2])
    return bool(east.max() - west.min() < plain)


def _turned(area: BaseGeometry, shift: bool) -> BaseGeometry:
    if not shift:
        return area
    parts = [
        affinity.translate(part, xoff=360) if part.bounds[2] <= 0 else part
        for part in shapely.get_parts(area)
    ]
    return shapely.union_all(parts)


def _land(picture: Image, frame: Frame) -> None:
    """The land, below everything, within the frame alone."""
    from PIL import Image, ImageDraw

    layer = Image.new("RGB", picture.size, _PAPER)
    pen = ImageDraw.Draw(layer)
    polygons = json.loads(files("rsdat.catalog").joinpath("land.json").read_text())
    for turn in (0, 360):
        for polygon in polygons:
            for number, ring in enumerate(polygon):
                points = [frame.pixel(x + turn, y) for x, y in ring]
                pen.polygon(points, fill=_PAPER if number else _LAND)
    inside = (_MARGIN, _MARGIN, _MARGIN + frame.width, _MARGIN + frame.height)
    picture.paste(layer.crop(inside), inside)


def _frame(areas: Sequence[BaseGeometry], edge: float) -> Frame:
    """The frame around areas; it ends at the ``edge`` of the globe where they do."""
    west, south, east, north = shapely.total_bounds(areas)
    pad = 0.08 * max(east - west, north - south) or _ALONE
    west, east = max(west - pad, min(-180.0, west)), min(east + pad, max(edge, east))
    south, north = max(south - pad, -90), min(north + pad, 90)
    stretch = max(math.cos(math.radians((south + north) / 2)), 0.1)
    ratio = (north - south) / ((east - west) * stretch)
    if ratio > 1:  # tall: as high as wide ones are wide
        return Frame(west, south, east, north, max(int(_WIDTH / ratio), 200), _WIDTH)
    return Frame(west, south, east, north, _WIDTH, max(int(_WIDTH * ratio), 200))


def _fill(
    picture: Image, frame: Frame, areas: Sequence[BaseGeometry], colour: tuple[int, ...]
) -> int:
    """Lay a colour over the picture, stronger where more items overlap; the most of them."""
    from PIL import Image
    from rasterio.enums import MergeAlg

    shape = frame.height, frame.width
    grid = from_bounds(frame.west, frame.south, frame.east, frame.north, frame.width, frame.height)
    kept = [area for area in areas if not area.is_empty]
    seen = 3 * (frame.east - frame.west) / frame.width
    small: list[tuple[BaseGeometry, int]] = []
    large: list[tuple[BaseGeometry, int]] = []
    for area in kept:
        west, south, east, north = area.bounds
        (small if max(east - west, north - south) < seen else large).append((area, 1))
    count: Any = np.zeros(shape, "int32")
    # Whatever is small is to be seen; of the others, neighbours that touch do not overlap.
    for some, touched in ((small, True), (large, False)):
        if some:
            count += rasterize(
                some,
                out_shape=shape,
                transform=grid,
                merge_alg=MergeAlg.add,
                dtype="int32",
                all_touched=touched,
            )
    most = int(count.max())
    strength = np.log1p(count) / np.log1p(max(most, 1))
    alpha = np.where(count > 0, 40 + 150 * strength * (most > 1), 0).astype("uint8")
    layer = Image.new("RGB", (frame.width, frame.height), colour)
    picture.paste(layer, (_MARGIN, _MARGIN), Image.fromarray(alpha))
    return most


def _outline(pen: ImageDraw, frame: Frame, area: BaseGeometry, colour: tuple[int, ...]) -> None:
    for part in shapely.get_parts(area):
        line = part.exterior if part.geom_type == "Polygon" else part
        points = [frame.pixel(x, y) for x, y, *_ in line.coords]
        if len(points) == 1:
            x, y = points[0]
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), outline=colour)
        else:
            pen.line(points, fill=colour, width=1)


def _grid(pen: ImageDraw, frame: Frame, font: Any) -> None:
    bottom, right = _MARGIN + frame.height, _MARGIN + frame.width
    for degrees in _ticks(frame.west, frame.east):
        x, _ = frame.pixel(degrees, frame.north)
        pen.line((x, _MARGIN, x, bottom), fill=_GRID)
        label = _label((degrees + 180) % 360 - 180, "EW")
        pen.text((x, bottom + 6), label, fill=_INK, font=font, anchor="ma")
    for degrees in _ticks(frame.south, frame.north):
        _, y = frame.pixel(frame.west, degrees)
        pen.line((_MARGIN, y, right, y), fill=_GRID)
        pen.text((_MARGIN - 6, y), _label(degrees, "NS"), fill=_INK, font=font, anchor="rm")


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    steps = (10, 15, 20, 30, 45, 60, 90) if rough > 10 else [power * n for n in (1, 2, 3, 5, 10)]
    step = next((one for one in steps if one >= rough), 90)
    first = math.ceil(low / step)
    return [round(step * number, 9) for number in range(first, math.floor(high / step) + 1)]


def _label(degrees: float, sides: str) -> str:
    side = "" if degrees in (0, -180) else sides[degrees < 0]
    return f"{abs(degrees):.9g}°{side}"
