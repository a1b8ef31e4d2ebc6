"""Writes items as stac-geoparquet, by way of a spool on disk, so that no catalog is too large.

Which columns there are, and of what types, is known only when the last item has been seen.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from shapely.geometry import shape

from rsdat.catalog.antimeridian import bounds
from rsdat.catalog.expressions import moment
from rsdat.catalog.filters import area_of
from rsdat.catalog.geoparquet import arrow
from rsdat.errors import DataError

#: Items whose types are found at a time, and rows of a group: the least that is read or left out.
_ROWS = 500
_TIMES = {"datetime", "start_datetime", "end_datetime", "created", "updated", "published"}
_TIMES |= {"expires", "unpublished"}
# JSON has no such numbers: STAC writes them as text, among numbers.
_NO_NUMBERS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def write_items(items: Iterable[Mapping[str, Any]], path: Path, extra: Mapping[str, str]) -> int:
    """Write items, as JSON, into a parquet file; their number.

    Empty objects and fields that are null are lost, as the format has it.

    Parameters
    ----------
    path
        A local file, which is made or replaced; not atomically.
    extra
        Further metadata of the file.

    Raises
    ------
    DataError
        Items disagree on the type of a field, or there are none.
    """
    pyarrow = arrow()
    with tempfile.TemporaryDirectory(prefix="rsdat-spool-") as spool:
        schema, files, count = _spooled(items, Path(spool))
        if schema is None:
            raise DataError("there are no items to write", hint="add items to the catalog first")
        schema = schema.with_metadata({**_metadata(), **extra})
        with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            for file in files:
                with pyarrow.ipc.open_file(file) as opened:
                    writer.write_table(_with_schema(opened.read_all(), schema))
    return count


def _spooled(items: Iterable[Mapping[str, Any]], spool: Path) -> tuple[Any, list[Path], int]:
    pyarrow = arrow()
    schema, count = None, 0
    files: list[Path] = []
    for chunk in _chunks(items):
        count += len(chunk)
        try:
            table = _table([_row(item) for item in chunk])
            schemas = [table.schema] if schema is None else [schema, table.schema]
            schema = pyarrow.unify_schemas(schemas, promote_options="permissive")
        except pyarrow.ArrowException as error:
            raise DataError(
                f"items {chunk[0].get('id')} to {chunk[-1].get('id')} have a field that is not of "
                f"one type: {error}",
                hint="give it one type in all items of the catalog",
            ) from error
        files.append(spool / f"{len(files)}.arrow")
        with pyarrow.ipc.new_file(files[-1], table.schema) as writer:
            writer.write_table(table)
    return schema, files, count


def _with_schema(table: Any, schema: Any) -> Any:
    pyarrow = arrow()
    if table.schema.equals(schema, check_metadata=False):
        return table.replace_schema_metadata(schema.metadata)
    # Arrow's own cast does not add fields to structs within lists.
    return pyarrow.Table.from_pylist(table.to_pylist(), schema=schema)


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    source = iter(items)
    while chunk := list(islice(source, _ROWS)):
        yield chunk


def _table(rows: list[dict[str, Any]]) -> Any:
    pyarrow = arrow()
    columns = {}
    for name in {name: None for row in rows for name in row}:
        values = [row.get(name) for row in rows]
        try:
            column = pyarrow.array(values)
            kind = _storable(column.type)
            if kind is not None:
                same = kind.equals(column.type)
                columns[name] = column if same else pyarrow.array(values, type=kind)
        except pyarrow.ArrowException as error:
            raise type(error)(f"{name}: {error}") from None
    return pyarrow.table(columns)


def _storable(kind: Any) -> Any:
    """A type without the empty structs that parquet cannot hold; None where nothing is left."""
    pyarrow = arrow()
    if pyarrow.types.is_struct(kind):
        fields = [(field.name, _storable(field.type)) for field in kind]
        kept = [pyarrow.field(name, inner) for name, inner in fields if inner is not None]
        return pyarrow.struct(kept) if kept else None
    if pyarrow.types.is_list(kind):
        inner = _storable(kind.value_type)
        return None if inner is None else pyarrow.list_(inner)
    return kind


def _row(item: Mapping[str, Any]) -> dict[str, Any]:
    properties = item.get("properties") or {}
    text = json.dumps([properties, item.get("assets")])
    numbers = _numbers if any(f'"{word}"' in text for word in _NO_NUMBERS) else _same
    row = {
        "type": "Feature",
        "stac_version": item.get("stac_version"),
        "stac_extensions": list(item.get("stac_extensions") or []),
        "id": item["id"],
        "geometry": shape(item["geometry"]).wkb if item.get("geometry") else None,
        "bbox": _bbox(item),
        "links": list(item.get("links") or []),
        "assets": numbers(item.get("assets") or {}),
        "collection": item.get("collection"),
    }
    for name, value in properties.items():
        if name not in row:
            row[name] = _time(name, value) if name in _TIMES else numbers(value)
    return row


def _same(value: Any) -> Any:
    return value


def _bbox(item: Mapping[str, Any]) -> dict[str, float] | None:
    bbox = item.get("bbox")
    if not bbox:
        place = area_of(item)
        bbox = bounds(place) if place is not None and not place.is_empty else None
    if not bbox:
        return None
    half = len(bbox) // 2
    axes = "xyz"[:half]
    names = [f"{axis}min" for axis in axes] + [f"{axis}max" for axis in axes]
    return {name: float(value) for name, value in zip(names, bbox, strict=True)}


def _time(name: str, value: Any) -> Any:
    found = moment(value) if isinstance(value, str) else None
    if value is not None and found is None:
        raise DataError(f"{name} {value!r} is no time", hint="write it as 2024-05-14T10:46:00Z")
    return found


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return _NO_NUMBERS.get(value, value) if isinstance(value, str) else value


def _metadata() -> dict[str, str]:
    """What makes a parquet file GeoParquet 1.1 (WKB, degrees, bbox column) and stac-geoparquet."""
    covering = {axis: ["bbox", axis] for axis in ("xmin", "ymin", "xmax", "ymax")}
    column = {"encoding": "WKB", "geometry_types": [], "covering": {"bbox": covering}}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return {"geo": json.dumps(geo), "stac-geoparquet": json.dumps({"version": "1.0.0"})}
