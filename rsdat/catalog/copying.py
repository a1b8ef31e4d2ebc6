"""``copy_catalog``: items with their assets to another place, complete, verified, repeatable.

The assets go first, each under its name only when it is complete; then the items, then their
collections, and the catalog last. Whoever reads the target at any moment, and whoever finds it
after a copy was killed, sees a catalog that names complete files only; running the copy again goes
on where it ended.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pystac

from rsdat.arguments import checked
from rsdat.catalog.copy_items import There, differs, finished
from rsdat.catalog.copy_looking import look
from rsdat.catalog.copy_plan import ItemPlan, plan
from rsdat.catalog.copy_target import Existing, existing, write_catalog, write_items
from rsdat.catalog.copy_workers import copy_on_workers
from rsdat.catalog.filters import Moment
from rsdat.catalog.opening import Opened, open_catalog
from rsdat.catalog.searching import search
from rsdat.errors import ConfigError, DataError
from rsdat.storage import absolute, shown
from rsdat.storage.transfer import Copied
from rsdat.storage.transfer_many import CONCURRENCY, Planned, Progress, Report, copy_many

if TYPE_CHECKING:
    from distributed import Client

#: What is computed of files as they pass: what the file extension can say.
_SUMS = ("sha256",)


@dataclass(frozen=True)
class AssetCopy:
    """An asset whose file is complete at the target.

    Parameters
    ----------
    source, target
        Addresses, without what is secret in them.
    nbytes
        The size of the file.
    collection
        The item's; ids are unique within a collection only.
    """

    item: str
    asset: str
    source: str
    target: str
    nbytes: int
    collection: str | None = None


@dataclass(frozen=True)
class Failure:
    """What was not copied; ``asset`` is None of an item or a file of the catalog."""

    item: str
    asset: str | None
    reason: str
    hint: str | None = None
    collection: str | None = None


@dataclass(frozen=True)
class CopyReport:
    """What became of a copy.

    Parameters
    ----------
    catalog
        The target's catalog.
    items
        Those that it holds of this copy.
    copied, skipped, failed
        Skipped are assets that are there and equal, or whose source is the target.
    nbytes
        Bytes that were transferred; of a dry run, that would be.
    seconds
        How long it took.
    dry_run
        Whether it was only looked at what there is to do.
    """

    catalog: str
    items: int
    copied: tuple[AssetCopy, ...]
    skipped: tuple[AssetCopy, ...]
    failed: tuple[Failure, ...]
    nbytes: int
    seconds: float
    dry_run: bool = False


@checked
def copy_catalog(
    source: str | os.PathLike[str] | Opened,
    target: str | os.PathLike[str],
    *,
    assets: Sequence[str] | None = None,
    where: str | Mapping[str, Any] | None = None,
    bbox: Sequence[float] | None = None,
    geometry: Any = None,
    datetime: Moment | Sequence[Moment | None] | None = None,
    collections: str | Sequence[str] | None = None,
    ids: str | Sequence[str] | None = None,
    limit: int | None = None,
    client: Client | None = None,
    concurrency: int = CONCURRENCY,
    dry_run: bool = False,
    drop_missing: bool = False,
    on_error: Literal["continue", "raise"] = "continue",
    progress: Callable[[Progress], None] | None = None,
) -> CopyReport:
    """Copy items and their assets to a directory anywhere that fsspec writes.

    What is there and equal is skipped, what broke off is resumed, and a target that holds a catalog
    already keeps its items; those of the same collection and id are replaced. An asset that is not
    copied leads to its source, so that no information is lost, unless an earlier copy has brought
    its file. Hrefs within the target are relative. ``file:size`` and ``file:checksum`` are noted.

    Parameters
    ----------
    source
        Anything that :func:`rsdat.open_catalog` opens or has opened.
    target
        A directory.
    assets
        Keys of the assets to copy; by default all but thumbnails, previews and metadata.
    where, bbox, geometry, datetime, collections, ids, limit
        Which items; as :func:`rsdat.search` takes them, ``where`` is its ``query``.
    client
        A ``distributed.Client``, to copy on its workers; each looks up its credentials itself.
    concurrency
        Files at one time, without a client.
    dry_run
        Look at what there is to do, and do nothing.
    drop_missing
        Leave out assets that are not at the target, and items that then have none.
    on_error
        ``raise`` the first error; the catalog at the target is then as before.
    progress
        Told how far it is, from one thread at a time.

    Raises
    ------
    DataError
        No item meets the search, no item has such an asset, or the target's catalog can be neither
        read nor written.
    ConfigError
        What is asked is not well formed, or the target is read-only by nature.
    """
    if on_error not in ("continue", "raise"):
        raise ConfigError(f"on_error {on_error!r} is not known", hint="continue or raise")
    began = time.monotonic()
    root = _root(target)
    opened = source if not isinstance(source, str | os.PathLike) else open_catalog(source)
    asked = {"bbox": bbox, "geometry": geometry, "datetime": datetime, "ids": ids, "limit": limit}
    asked |= {"collections": collections, "query": where}
    items, unread = _found(opened, asked, on_error)
    there = existing(root)
    plans = plan(items, root, assets)
    planned, nowhere = _files(plans, there)
    if dry_run:
        report = look(planned)
    else:
        report = _transferred(planned, client, concurrency, on_error=on_error, progress=progress)
    copies, wrong = _checked(plans, report)
    if wrong and on_error == "raise":
        raise DataError(wrong[0].reason, hint=wrong[0].hint)
    lost = [] if dry_run else _write(opened, plans, copies, there, drop_missing, on_error)
    return CopyReport(
        catalog=shown(there.catalog),
        items=len(plans) - len(lost),
        copied=_copies(plans, report.copied, copies),
        skipped=_copies(plans, report.skipped, copies) + _here(plans),
        failed=(*unread, *nowhere, *_failures(plans, report), *wrong, *lost),
        nbytes=report.nbytes,
        seconds=time.monotonic() - began,
        dry_run=dry_run,
    )


def _found(
    opened: Opened, asked: Mapping[str, Any], on_error: str
) -> tuple[list[pystac.Item], list[Failure]]:
    """The items of a search, and what could not be read."""
    unread: list[Failure] = []

    def note(error: DataError) -> None:
        unread.append(Failure("", None, error.message, error.hint))

    with warnings.catch_warnings():
        # The index of a catalog that has changed since is no concern of who copies it.
        warnings.filterwarnings("ignore", message="the index ")
        items = search(opened, **asked, on_error="raise" if on_error == "raise" else note)
    return items, unread


def _root(target: str | os.PathLike[str]) -> str:
    root = absolute(target)
    if urlsplit(root).scheme in ("http", "https"):
        raise ConfigError(
            f"{shown(root)}: nothing can be written over plain http",
            hint="write a door's address as dcache://… or davs://…",
        )
    if root.endswith(".json"):
        raise ConfigError(
            f"{shown(root)} is a file", hint="name the directory that the catalog is to be in"
        )
    return root if root == "/" or root.endswith("://") else root.rstrip("/")


def _files(plans: Sequence[ItemPlan], there: Existing) -> tuple[list[Planned], list[Failure]]:
    """The files to copy, each once, and the assets of which nobody can say where they lie."""
    found: dict[str, Planned] = {}
    nowhere = []
    for one in plans:
        for key, asset in one.assets.items():
            if asset.source is None:
                words = f"item {one.id}: asset {key} has a relative href, and the item no place"
                hint = "open the item from its file"
                nowhere.append(Failure(one.id, key, words, hint, one.collection))
            elif asset.target is not None:
                # For the bar and the order only; it spares asking for it.
                size = asset.size or there.size_of(one.collection, one.id, key)
                found[asset.target] = Planned(asset.source, asset.target, size)
    return list(found.values()), nowhere


def _transferred(
    planned: Sequence[Planned], client: Any, concurrency: int, **options: Any
) -> Report:
    if client is not None:
        return copy_on_workers(client, planned, sums=_SUMS, **options)
    return copy_many(planned, sums=_SUMS, concurrency=concurrency, **options)


def _checked(plans: Sequence[ItemPlan], report: Report) -> tuple[dict[str, There], list[Failure]]:
    """The copies that are complete, by their target, and those that are not what an item says."""
    copies = {}
    for one in (*report.copied, *report.skipped):
        told = [text for text in (*one.sums, one.checksum or "") if text.startswith(_SUMS)]
        copies[one.target] = There(one.nbytes, told[0] if told else one.checksum)
    wrong = []
    for plan_ in plans:
        for key, asset in plan_.assets.items():
            copy = copies.get(asset.target or "")
            why = copy and differs(asset, plan_.content["assets"][key], copy)
            if why:
                words = f"{shown(asset.source or '')}: {why}"
                hint = "one of the two is wrong: `rsdat catalog update` reads the files again"
                failure = Failure(plan_.id, key, words, hint, plan_.collection)
                wrong.append((asset.target, failure))
    for target, _ in wrong:
        copies.pop(target or "", None)
    return copies, [failure for _, failure in wrong]


def _failures(plans: Sequence[ItemPlan], report: Report) -> list[Failure]:
    errors = {one.target: one.error for one in report.failed}
    return [
        Failure(one.id, key, error.message, error.hint, one.collection)
        for one in plans
        for key, asset in one.assets.items()
        if (error := errors.get(asset.target or "")) is not None
    ]


def _copies(
    plans: Sequence[ItemPlan], files: Sequence[Copied], copies: Mapping[str, There]
) -> tuple[AssetCopy, ...]:
    sizes = {one.target: one.nbytes for one in files if one.target in copies}
    return tuple(
        _copy(one, key, asset.target, sizes[asset.target])
        for one in plans
        for key, asset in one.assets.items()
        if asset.target in sizes
    )


def _here(plans: Sequence[ItemPlan]) -> tuple[AssetCopy, ...]:
    return tuple(
        _copy(one, key, asset.source, asset.size or 0)
        for one in plans
        for key, asset in one.assets.items()
        if asset.here and asset.source is not None
    )


def _copy(one: ItemPlan, key: str, target: str, nbytes: int) -> AssetCopy:
    source = shown(one.assets[key].source or "")
    return AssetCopy(one.id, key, source, shown(target), nbytes, one.collection)


def _write(
    opened: Opened,
    plans: Sequence[ItemPlan],
    copies: Mapping[str, There],
    there: Existing,
    drop_missing: bool,
    on_error: str,
) -> list[Failure]:
    """Write items, collections and catalog; the items that are not there then."""
    items = [finished(one, copies, there, drop_missing=drop_missing) for one in plans]
    kept = [one for one in items if one is not None]
    errors = write_items(kept)
    if errors and (on_error == "raise" or len(errors) == len(kept)):
        raise next(iter(errors.values()))
    kept = [one for one in kept if one.key not in errors]
    if kept:
        try:
            write_catalog(kept, plans, there, _title(opened, there))
        except DataError as error:
            words = f"the assets are copied, and the catalog could not be written: {error.message}"
            raise DataError(words, hint=error.hint) from error
    lost = [
        Failure(one.id, None, "none of its assets is at the target", collection=one.collection)
        for one, item in zip(plans, items, strict=True)
        if item is None
    ]
    return lost + [
        Failure(key[1], None, error.message, error.hint, key[0]) for key, error in errors.items()
    ]


def _title(opened: Opened, there: Existing) -> tuple[str, str]:
    name = there.catalog.rstrip("/").rsplit("/", 2)[-2] or "catalog"
    known = str(getattr(opened, "id", "") or name)
    return known, str(getattr(opened, "description", "") or f"A copy of items of {known}")
