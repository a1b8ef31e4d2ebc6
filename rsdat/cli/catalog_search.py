"""`rsdat catalog search`: the items that meet a search, as a table or as a FeatureCollection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsdat.cli.catalog_copy import Ids, Where
from rsdat.cli.data_words import named
from rsdat.cli.run_options import Bbox, Collection, Limit, When, bbox_of, geometry_in, names

if TYPE_CHECKING:
    import pystac

Source = Annotated[
    list[str],
    typer.Argument(
        metavar="CATALOG", help="Catalogs, files of items, or STAC APIs.", callback=named
    ),
]
Area = Annotated[
    str | None, typer.Option("--geometry", metavar="FILE", help="GeoJSON: what lies in it.")
]
SortBy = Annotated[
    str | None, typer.Option("--sortby", help="Fields, as '-eo:cloud_cover' (descending).")
]
OnError = Annotated[
    str, typer.Option("--on-error", help="Files that cannot be read: raise, or skip.")
]
Json = Annotated[bool, typer.Option("--json", help="Print a FeatureCollection.")]


def search(
    catalogs: Source,
    bbox: Bbox = None,
    geometry: Area = None,
    datetime: When = None,
    collections: Collection = None,
    ids: Ids = None,
    where: Where = None,
    sortby: SortBy = None,
    limit: Limit = None,
    on_error: OnError = "raise",
    as_json: Json = False,
) -> None:
    """List the items that meet a search, by time or --sortby.

    With --json it is a FeatureCollection, which all other commands take for a catalog.
    """
    from rsdat import catalog
    from rsdat.cli.catalog import on_error_of
    from rsdat.cli.output import print_json, print_table

    area = geometry_in(geometry)
    items = catalog.search(
        catalogs,
        bbox=bbox_of(bbox),
        geometry=None if area is None else area.to_crs("EPSG:4326"),
        datetime=datetime,
        collections=names(collections),
        ids=names(ids),
        query=where,
        sortby=sortby,
        limit=limit,
        on_error=on_error_of(on_error),
    )
    if as_json:
        features = [item.to_dict(transform_hrefs=False) for item in items]
        print_json({"type": "FeatureCollection", "features": features})
        return
    print_table(("ITEM", "COLLECTION", "TIME", "CLOUD", "ASSETS"), [_row(item) for item in items])


def _row(item: pystac.Item) -> tuple[Any, ...]:
    time = item.datetime or item.common_metadata.start_datetime
    cover = item.properties.get("eo:cloud_cover")
    return (
        item.id,
        item.collection_id or "-",
        f"{time:%Y-%m-%d %H:%M}" if time else "-",
        f"{cover:.0f} %" if isinstance(cover, int | float) else "-",
        " ".join(sorted(item.assets)) or "-",
    )
