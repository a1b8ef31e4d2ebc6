"""The items at the target of a copy, from what became of their assets; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rsdat.catalog.copy_plan import AssetPlan, ItemPlan, is_within, outward, place
from rsdat.catalog.copy_target import Existing, Finished, home_of, links_up, same_json
from rsdat.catalog.hrefs import joined, relative
from rsdat.catalog.walking import Found

FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
#: Code and length of a multihash, by the name of the checksum: multiformats' table.
_MULTIHASH = {"md5": "d50110", "sha1": "1114", "sha256": "1220", "sha512": "1340"}


@dataclass(frozen=True)
class There:
    """A copy that is complete at its target; ``checksum`` as ``sha256:…``, where it is known."""

    nbytes: int
    checksum: str | None = None


def finished(
    plan: ItemPlan, copies: Mapping[str, There], there: Existing, *, drop_missing: bool
) -> Finished | None:
    """An item as it is to be written; None: it has no asset that could stay.

    Parameters
    ----------
    copies
        What is complete, by its target.
    drop_missing
        Whether assets that are not at the target are left out; else they lead to the source.
    """
    previous = there.items.get((plan.collection, plan.id))
    href = previous.href if previous is not None and previous.href else plan.href
    itself = bool(plan.source) and place(plan.source) == place(href)
    base = previous.content if previous is not None and itself else plan.content
    root = there.catalog.rpartition("/")[0]
    assets: dict[str, Any] = {}
    for key, asset in plan.assets.items():
        fields = dict(base["assets"].get(key) or plan.content["assets"][key])
        known = _previous(previous, key, root)
        copy = copies.get(asset.target or "")
        if copy is not None and asset.target is not None:
            fields |= {"href": relative(asset.target, href), **_file(copy, known, fields)}
        elif asset.here:
            fields["href"] = fields["href"] if itself else relative(str(asset.source), href)
        elif known is not None:
            fields = known
        elif drop_missing:
            continue
        else:
            fields["href"] = outward(asset.source, href) if asset.source else fields["href"]
        assets[key] = fields
    if plan.assets and not assets:
        return None
    content = {**base, "assets": assets, "links": _links(plan, previous, href, there, itself)}
    if any(name.startswith("file:") for one in assets.values() for name in one):
        said = list(content.get("stac_extensions") or [])
        has = any("/file/v" in extension for extension in said)
        content["stac_extensions"] = said if has else [*said, FILE]
    changed = previous is None or not same_json(previous.content, content)
    return Finished((plan.collection, plan.id), href, content, previous is None, changed)


def multihash(checksum: str) -> str | None:
    """A checksum as the file extension writes it; None of one that has no such form (Adler-32)."""
    name, _, digits = checksum.partition(":")
    return f"{_MULTIHASH[name]}{digits}" if name in _MULTIHASH else None


def differs(asset: AssetPlan, fields: Mapping[str, Any], copy: There) -> str | None:
    """How a copy differs from what its item says of the file, in words; None: it does not."""
    if asset.size is not None and asset.size != copy.nbytes:
        return f"it has {copy.nbytes} bytes, and its item says {asset.size}"
    told = fields.get("file:checksum")
    ours = multihash(copy.checksum) if copy.checksum else None
    if isinstance(told, str) and ours and told[:4] == ours[:4] and told.lower() != ours:
        return "its checksum is not what its item says"
    return None


def _file(
    copy: There, known: Mapping[str, Any] | None, fields: Mapping[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {"file:size": copy.nbytes}
    checksum = multihash(copy.checksum) if copy.checksum else None
    if checksum is None and known is not None and known.get("file:size") == copy.nbytes:
        # It was not copied again: it is what it was.
        checksum = known.get("file:checksum")
    checksum = checksum or fields.get("file:checksum")
    return {**found, "file:checksum": checksum} if checksum else found


def _previous(previous: Found | None, key: str, root: str) -> dict[str, Any] | None:
    """An asset of the item that is at the target, if its file lies there, too."""
    if previous is None or previous.href is None:
        return None
    asset = previous.content["assets"].get(key)
    if not isinstance(asset, Mapping) or "href" not in asset:
        return None
    return dict(asset) if is_within(joined(previous.href, str(asset["href"])), root) else None


def _links(
    plan: ItemPlan, previous: Found | None, href: str, there: Existing, itself: bool
) -> list[dict[str, Any]]:
    others = [{**link, "href": outward(link["href"], href)} for link in plan.content["links"]]
    if previous is None:
        home = home_of(plan.collection, there) if plan.collection else None
        return [*links_up(href, home, there.catalog), *others]
    if itself:
        return list(previous.content.get("links") or [])
    up = ("self", "root", "parent", "collection")
    own = [link for link in previous.content.get("links") or [] if link.get("rel") in up]
    return [*own, *others]
