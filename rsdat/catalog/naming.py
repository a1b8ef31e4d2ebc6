"""What names of files say: which files make up an item, which band each is, and when it was taken.

Pure: names in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rsdat.errors import ConfigError

_SENTINEL2 = {
    "b01": "coastal",
    "b02": "blue",
    "b03": "green",
    "b04": "red",
    "b05": "rededge071",
    "b06": "rededge075",
    "b07": "rededge078",
    "b08": "nir",
    "b8a": "nir08",
    "b09": "nir09",
    "b10": "cirrus",
    "b11": "swir16",
    "b12": "swir22",
}
_OLI = {
    "b1": "coastal",
    "b2": "blue",
    "b3": "green",
    "b4": "red",
    "b5": "nir08",
    "b6": "swir16",
    "b7": "swir22",
    "b8": "pan",
    "b9": "cirrus",
    "b10": "lwir11",
    "b11": "lwir12",
}
_TM = {"b1": "blue", "b2": "green", "b3": "red", "b4": "nir08", "b5": "swir16", "b7": "swir22"}
#: The common names of STAC's eo extension 2.0.
COMMON = frozenset(_SENTINEL2.values()) | frozenset(_OLI.values())
COMMON |= {"green05", "yellow", "rededge", "lwir"}
_OTHERS = {"scl", "aot", "wvp", "tci", "qa_pixel", "qa_radsat", "qa_aerosol", "bqa", "cld", "snw"}
_OTHERS |= {"vv", "vh", "hh", "hv", "dem", "dsm", "dtm", "ndvi", "mask", "angle"}
# A band at the end of a name, perhaps with its resolution.
_BAND = r"(?:(?:sr|st)_)?b\d{1,2}a?|" + "|".join(sorted(COMMON | _OTHERS, key=len, reverse=True))
_END = re.compile(rf"(?:^|(?P<id>.*?)[_.-])(?P<band>{_BAND})(?:_(?P<gsd>\d+)m)?$", re.IGNORECASE)
# Products of Sentinel-1 end in four hexadecimal digits, which may look like a band (B12A). ESA:
# S1A_IW_GRDH_1SDV_20200101T000000_20200101T000025_030639_0382F5_2E4E; terrain corrected by ASF:
# S1A_IW_20200101T000000_DVP_RTC30_G_gpuned_2E4E_VV, with layers beside the polarisations.
_POLARISATION = r"vv|vh|hh|hv"
_PRODUCT1 = re.compile(
    r"(?P<id>s1[a-d]_\w\w_\w*?\d{8}t\d{6}_\w*?_[0-9a-f]{4})"
    rf"(?:_(?P<band>{_POLARISATION}|dem|area|rgb|inc_map(?:_ell)?|ls_map))?",
    re.IGNORECASE,
)
# Within a product of ESA (the three digits number its images; of SLC each swath is one), and as
# others name them in its folder "measurement": iw-vv.tiff, iw-vv.rtc.tiff.
_IMAGE1 = re.compile(
    rf"(?P<mission>s1[a-d])-(?P<mode>\w\w|(?P<swath>(?:iw|ew)\d))-(?P<kind>grd|slc)-"
    rf"(?P<band>{_POLARISATION})-(?P<rest>\d{{8}}t\d{{6}}-\d{{8}}t\d{{6}}-\d{{6}}-[0-9a-f]{{6}})"
    r"-\d{3}(?:-cog)?",
    re.IGNORECASE,
)
_MEASUREMENT1 = re.compile(rf"(?:iw|ew|sm|wv)-(?P<band>{_POLARISATION})(?:\.rtc)?", re.IGNORECASE)
_FIELD = re.compile(r"\{(\w*)\}")
#: Fields of a pattern and what they take; anything but a slash by default.
_TAKES = {"date": r"\d{4}-?\d\d-?\d\d", "datetime": r"\d{4}-?\d\d-?\d\dT\d\d:?\d\d:?\d\d"}
_TIMES = re.compile(
    r"(?<!\d)(\d{4})-?(\d\d)-?(\d\d)(?:[Tt_]?(\d\d):?(\d\d):?(\d\d)(?![\d:]))?(?!\d)"
)


@dataclass(frozen=True)
class Named:
    """What one file's name says.

    Parameters
    ----------
    item
        The id of its item.
    band
        As the name has it, ``B04`` or ``red``; None where the file is the whole item.
    time
        UTC.
    gsd
        Metres, where the name says them.
    """

    item: str
    band: str | None = None
    time: datetime | None = None
    gsd: int | None = None

    @property
    def common_name(self) -> str | None:
        """The band's common name, where it is known for the item's satellite."""
        return common_name(self.item, self.band) if self.band else None

    @property
    def key(self) -> str:
        """The key of the asset: the common name, else the band, else ``data``."""
        return self.common_name or (self.band.lower() if self.band else "data")


@dataclass(frozen=True)
class Pattern:
    """How names are read: ``{id}_{band}.tif``, with ``{date}`` or ``{datetime}``; ``{}`` is any.

    Raises
    ------
    ConfigError
        It has no ``{id}``, or a field twice.
    """

    text: str
    regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [name for name in _FIELD.findall(self.text) if name]
        unknown = set(names) - {"id", "band", *_TAKES}
        if "id" not in names or len(names) != len(set(names)) or unknown:
            raise ConfigError(
                f"pattern {self.text!r} is not understood",
                hint="it needs {id}, and may have {band}, {date} or {datetime}, each once; {} is "
                "any text: '{id}_{band}.tif'",
            )
        parts = _FIELD.split(self.text)
        regex = "".join(
            re.escape(part) if number % 2 == 0 else _group(part)
            for number, part in enumerate(parts)
        )
        object.__setattr__(self, "regex", re.compile(rf"(?:^|.*/){regex}$", re.IGNORECASE))

    def read(self, path: str) -> Named | None:
        """What a path says, slashes between its folders; None where it is of another form."""
        match = self.regex.match(path)
        if match is None:
            return None
        groups = match.groupdict()
        said = groups.get("datetime") or groups.get("date")
        time = time_in(said) if said else time_in(groups["id"]) or time_in(path)
        return Named(groups["id"], groups.get("band"), time)


def read_name(path: str) -> Named:
    """What a path says by the usual forms: ``ID_B04.tif``, ``ID/B04.tif``, or one file an item."""
    folder, _, name = path.rpartition("/")
    stem = re.sub(r"\.(tiff?|jp2)$", "", name, flags=re.IGNORECASE)
    if (known := _sentinel1(folder, stem)) is not None:
        return known
    match = _END.match(stem)
    if match is None:
        return Named(stem, None, time_in(stem) or time_in(folder))
    item = match["id"] or folder.rpartition("/")[2]
    if not item:
        return Named(stem, None, time_in(path))
    gsd = int(match["gsd"]) if match["gsd"] else None
    return Named(item, match["band"], time_in(item) or time_in(folder), gsd)


def _sentinel1(folder: str, stem: str) -> Named | None:
    """What a name says that is of Sentinel-1; None of any other."""
    if match := _PRODUCT1.fullmatch(stem):
        return Named(match["id"], match["band"], time_in(stem))
    product = re.sub(r"(^|/)measurement$", "", folder, flags=re.IGNORECASE).rpartition("/")[2]
    product = re.sub(r"\.safe$", "", product, flags=re.IGNORECASE)
    if match := _IMAGE1.fullmatch(stem):
        band = f"{match['swath']}-{match['band']}" if match["swath"] else match["band"]
        own = f"{match['mission']}-{match['mode'][:2]}-{match['kind']}-{match['rest']}"
        return Named(product if _PRODUCT1.match(product) else own, band, time_in(stem))
    match = _MEASUREMENT1.fullmatch(stem)
    if match and product:
        return Named(product, match["band"], time_in(product) or time_in(folder))
    return None


def common_name(item: str, band: str) -> str | None:
    """The common name of a band of the satellite that an item's id tells."""
    word = re.sub(r"^(sr|st)_", "", band.lower())
    if word in COMMON:
        return word
    if re.match(r"l[coe]0[89]|l[co]8", item, re.IGNORECASE):
        return _OLI.get(word)
    if re.match(r"l[te]0[4-7]", item, re.IGNORECASE):
        return _TM.get(word)
    return _SENTINEL2.get(word)


def mission(item: str) -> dict[str, str]:
    """The properties that an item's id tells: platform, constellation, processing baseline."""
    found: dict[str, str] = {}
    if match := re.match(r"s([12])([a-d])[_-]", item, re.IGNORECASE):
        found["platform"] = f"sentinel-{match[1]}{match[2].lower()}"
        found["constellation"] = f"sentinel-{match[1]}"
        baseline = re.search(r"_N(\d\d)(\d\d)_", item)
        if match[1] == "2" and baseline:
            found["s2:processing_baseline"] = f"{baseline[1]}.{baseline[2]}"
    elif match := re.match(r"l[ceto]0([4-9])_", item, re.IGNORECASE):
        found["platform"] = f"landsat-{match[1]}"
    return found


def time_in(text: str) -> datetime | None:
    """The first time that a text holds, UTC: 20240514T104619, 2024-05-14, 20240514."""
    for match in _TIMES.finditer(text):
        try:
            year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            continue
    return None


def keys(names: Iterable[Named]) -> list[str]:
    """The keys of an item's assets: with the resolution, where a band is there in several."""
    named = list(names)
    plain = [name.key for name in named]
    return [
        f"{key}_{name.gsd}m" if plain.count(key) > 1 and name.gsd else key
        for name, key in zip(named, plain, strict=True)
    ]


def _group(name: str) -> str:
    if not name:
        return "[^/]*"
    takes = _TAKES.get(name, "[^/]+?" if name == "id" else "[^/]+")
    return f"(?P<{name}>{takes})"
