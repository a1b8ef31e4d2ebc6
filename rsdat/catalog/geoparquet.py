"""stac-geoparquet with pyarrow: items as rows, read in pieces and only where they can match.

The form is that of the stac-geoparquet specification 1.0: properties are columns of their own, the
geometry is WKB, the bbox a struct, times are timestamps. pyarrow alone reads and writes it over any
fsspec filesystem with the configured credentials. The library `stac-geoparquet` adds geopandas,
pyogrio and GDAL a second time, reads whole tables into memory and fetches remote files with another
client; `rustac` carries DuckDB and object stores of its own, which know none of our credentials.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import shapely
from shapely.geometry import mapping

from rsdat.catalog.antimeridian import WIDE
from rsdat.catalog.filters import Query
from rsdat.errors import ConfigError, DataError, RsdatError
from rsdat.storage import is_remote, scrubbed, shown
from rsdat.storage.transfer_places import place_of

_TOP = {"type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets"}
_TOP |= {"collection"}
#: Rows that are turned into Python at a time.
_BATCH = 256


def arrow() -> Any:
    """pyarrow, or an error that says how to get it. Raises ConfigError."""
    try:
        import pyarrow
        import pyarrow.dataset
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            "stac-geoparquet needs pyarrow, which is not installed",
            hint="install it: pip install 'rsdat[geoparquet]'",
        ) from None
    return pyarrow


def items_in(href: str, wanted: Query | None = None) -> Iterator[dict[str, Any]]:
    """The items of a stac-geoparquet file, as JSON.

    Parameters
    ----------
    wanted
        Rows that cannot meet it are left out, by the statistics of the file where they tell; those
        that are given are to be compared yet.

    Raises
    ------
    DataError
        The file cannot be read, or is no stac-geoparquet.
    """
    pyarrow = arrow()
    try:
        table = _dataset(href)
        missing = {"id", "geometry"} - set(table.schema.names)
        if missing:
            raise DataError(
                f"{shown(href)} is not stac-geoparquet: no column {', '.join(sorted(missing))}",
                hint="give a file of STAC items",
            )
        chosen = _filter(table.schema, wanted) if wanted is not None else None
        scanner = table.scanner(
            filter=chosen, batch_size=_BATCH, batch_readahead=2, fragment_readahead=1
        )
        for batch in scanner.to_batches():
            yield from (_item(row) for row in batch.to_pylist())
    except (RsdatError, GeneratorExit):
        raise
    except FileNotFoundError:
        raise DataError(
            f"{shown(href)} does not exist", hint="check the name of the file"
        ) from None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{shown(href)} cannot be read as stac-geoparquet: {scrubbed(str(error), href)}",
            hint="make it anew: `rsdat catalog index` for the index of a catalog",
        ) from error


def metadata(href: str) -> dict[bytes, bytes]:
    """The key-value metadata of a parquet file. Raises whatever its filesystem raises."""
    pyarrow = arrow()
    filesystem, path = _filesystem(href)
    with pyarrow.parquet.ParquetFile(path, filesystem=filesystem) as opened:
        found: dict[bytes, bytes] = opened.schema_arrow.metadata or {}
        return {**found, **(opened.metadata.metadata or {})}


def _dataset(href: str) -> Any:
    import pyarrow.dataset

    filesystem, path = _filesystem(href)
    return pyarrow.dataset.dataset(path, format="parquet", filesystem=filesystem)


def _filesystem(href: str) -> tuple[Any, str]:
    from pyarrow import fs

    if not is_remote(href):
        return fs.LocalFileSystem(), href
    place = place_of(href)
    if place.kind == "sftp":
        # pyarrow reads in threads of its own, which must not share a connection.
        from fsspec.implementations.cached import SimpleCacheFileSystem

        whole = SimpleCacheFileSystem(fs=place.fs)
        whole.open(place.path).close()
        return fs.PyFileSystem(fs.FSSpecHandler(whole)), place.path
    return fs.PyFileSystem(fs.FSSpecHandler(place.fs)), place.path


def _filter(schema: Any, wanted: Query) -> Any:
    """What rows have to fulfil, as far as columns can tell; None: anything may match."""
    from pyarrow import compute

    names = set(schema.names)
    parts = []
    if wanted.ids is not None:
        parts.append(compute.field("id").isin(sorted(wanted.ids)))
    if wanted.collections is not None and "collection" in names:
        parts.append(compute.field("collection").isin(sorted(wanted.collections)))
    if wanted.interval is not None:
        parts += _in_time(schema, wanted)
    if wanted.area is not None and "bbox" in names:
        parts += _in_place(schema, wanted.area.bounds)
    if wanted.condition is not None:
        parts += [
            part
            for part in (_compared(schema, node) for node in _conjuncts(wanted.condition.cql2))
            if part is not None
        ]
    result = None
    for part in parts:
        result = part if result is None else result & part
    return result


def _in_time(schema: Any, wanted: Query) -> list[Any]:
    import pyarrow
    from pyarrow import compute

    known = [
        name
        for name in ("datetime", "start_datetime", "end_datetime")
        if name in schema.names and pyarrow.types.is_timestamp(schema.field(name).type)
    ]
    if "datetime" not in known or wanted.interval is None:
        return []
    begins = [compute.field(n) for n in ("start_datetime", "datetime") if n in known]
    ends = [compute.field(n) for n in ("end_datetime", "datetime") if n in known]
    start, end = wanted.interval
    parts = []
    if start is not None:
        parts.append(compute.coalesce(*ends) >= pyarrow.scalar(start))
    if end is not None:
        parts.append(compute.coalesce(*begins) <= pyarrow.scalar(end))
    return parts


def _in_place(schema: Any, bounds: tuple[float, ...]) -> list[Any]:
    import pyarrow
    from pyarrow import compute

    if not pyarrow.types.is_struct(schema.field("bbox").type):
        return []
    least_x, least_y, most_x, most_y = bounds
    west, south, east, north = (
        compute.field("bbox", name) for name in ("xmin", "ymin", "xmax", "ymax")
    )
    across = (west > east) | (east - west >= WIDE)
    inside = (west <= most_x) & (east >= least_x)
    unknown = compute.is_null(compute.field("bbox", "xmin"))
    return [unknown | ((south <= most_y) & (north >= least_y) & (across | inside))]


def _conjuncts(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if node.get("op") != "and":
        return [node]
    return [part for one in node["args"] if isinstance(one, Mapping) for part in _conjuncts(one)]


def _compared(schema: Any, node: Mapping[str, Any]) -> Any:
    """A comparison of a column of numbers with a number, for Arrow; None for all else."""
    import pyarrow
    from pyarrow import compute

    arguments = node.get("args") or []
    if node.get("op") not in ("<", "<=", ">", ">=", "=") or len(arguments) != 2:
        return None
    place, value = arguments
    name = place.get("property") if isinstance(place, Mapping) else None
    name = name.removeprefix("properties.") if isinstance(name, str) else None
    if name is None or name not in schema.names or isinstance(value, bool):
        return None
    kind = schema.field(name).type
    if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)):
        return None
    if not isinstance(value, int | float):
        return None
    field = compute.field(name)
    operators = {"<": field.__lt__, "<=": field.__le__, ">": field.__gt__, ">=": field.__ge__}
    return operators.get(node["op"], field.__eq__)(value)


def _item(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the item that it was made of; fields that are null are absent."""
    item: dict[str, Any] = {"type": "Feature", "stac_version": row.get("stac_version") or "1.1.0"}
    properties = {
        name: _json(value) for name, value in row.items() if name not in _TOP and value is not None
    }
    properties.setdefault("datetime", None)
    item["stac_extensions"] = row.get("stac_extensions") or []
    item["id"] = row["id"]
    item["geometry"] = _json(row["geometry"])
    if row.get("bbox"):
        item["bbox"] = _bbox(row["bbox"])
    item["properties"] = properties
    item["links"] = _json(row.get("links") or [])
    item["assets"] = _json(row.get("assets") or {})
    if row.get("collection"):
        item["collection"] = row["collection"]
    return item


def _bbox(value: Any) -> list[float]:
    if not isinstance(value, Mapping):
        return list(value)
    order = ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax")
    return [value[name] for name in order if value.get(name) is not None]


def _json(value: Any) -> Any:
    """What Arrow gives, as JSON has it: without nulls, times as text, WKB as GeoJSON."""
    if isinstance(value, Mapping):
        return {name: _json(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_json(one) for one in value]
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return json.loads(json.dumps(mapping(shapely.from_wkb(value))))
    if isinstance(value, float) and value != value:
        return "nan"
    return value
