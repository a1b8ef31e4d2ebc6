"""What a public function takes, read from its annotations: another kind of value is refused."""

from __future__ import annotations

import inspect
import os
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache, wraps
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeVar, cast

from rsdat.errors import ConfigError

Function = TypeVar("Function", bound=Callable[..., Any])


#: Parameters that are judged where they are used, with words of their own, before any work.
_JUDGED = frozenset(
    {
        *("bands", "bands_out", "bits", "chunks", "classes", "data", "function", "halo"),
        *("nodata", "resolution", "scale", "threshold"),
    }
)


class _Kind(NamedTuple):
    words: str
    is_one: Callable[[Any], bool]


def checked(function: Function) -> Function:
    """Refuse arguments of another kind than the function's annotations say.

    The floor under all that is public: what may be None, a number or a text is said once, by the
    annotation. Whether a text is a known method, say, the function itself decides. Annotations that
    are not among the kinds here, and parameters that need more words, are left to it as well.

    Raises
    ------
    ConfigError
        An argument is of another kind; in place of an error from deep inside.
    """

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        signature = _signature(function)
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # Python's own words name the function
        for name, value in given.items():
            parameter = signature.parameters[name]
            several = value.items() if parameter.kind is parameter.VAR_KEYWORD else [(name, value)]
            for key, one in several:
                _check(function.__name__, key, one, parameter)
        return function(*args, **kwargs)

    return cast("Function", called)


_signature = cache(inspect.signature)


def _check(function: str, name: str, value: Any, parameter: inspect.Parameter) -> None:
    kinds = () if name in _JUDGED else _kinds(parameter.annotation)
    if not kinds or any(kind.is_one(value) for kind in kinds):
        return
    words = " or ".join(dict.fromkeys(kind.words for kind in kinds))
    default = parameter.default
    usual = "" if default in (parameter.empty, None) else f"; the default is {default!r}"
    raise ConfigError(
        f"{function}: {name}={_shown.repr(value)} is not {words}", hint=f"give {words}{usual}"
    )


@cache
def _kinds(annotation: Any) -> tuple[_Kind, ...]:
    """The kinds that an annotation names; none where one of them is not known here."""
    found = [_kind(part) for part in _parts(str(annotation), " | ")]
    return tuple(one for one in found if one is not None) if all(found) else ()


def _kind(text: str) -> _Kind | None:
    name, _, inner = text.partition("[")
    name = name.rpartition(".")[2]
    if name in ("Sequence", "tuple"):
        return _listed(inner.removesuffix("]"))
    return _KINDS.get(name)


def _listed(inner: str) -> _Kind | None:
    """Several of a kind; a text is no list but of texts."""
    elements = [part for part in _parts(inner, ", ") if part != "..."]
    kinds = _kinds(elements[0])
    if not kinds:
        return None
    texts = any(kind.is_one("") for kind in kinds)

    def is_one(value: Any) -> bool:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            return texts and isinstance(value, str)
        # What can be gone through only once is left to the function.
        known = value if isinstance(value, list | tuple | set | frozenset) else ()
        return all(any(kind.is_one(one) for kind in kinds) for one in known)

    return _Kind(f"a list (each {' or '.join(kind.words for kind in kinds)})", is_one)


def _parts(text: str, separator: str) -> list[str]:
    """A text cut at a separator, but not within brackets."""
    parts = [""]
    for piece in text.split(separator):
        within = parts[-1].count("[") > parts[-1].count("]")
        parts = [*parts[:-1], parts[-1] + separator + piece] if within else [*parts, piece]
    return parts[1:]


def _of_class(*names: str) -> Callable[[Any], bool]:
    """Whether a value is of a class of a library, without an import of it."""
    return lambda value: not _names(value).isdisjoint(names)


def _is_path(value: Any) -> bool:
    return isinstance(value, os.PathLike)


def _names(value: Any) -> frozenset[str]:
    return frozenset(_classes(type(value)))


def _classes(kind: type) -> Iterator[str]:
    for one in kind.__mro__:
        yield f"{one.__module__.partition('.')[0]}.{one.__name__}"


_is_truth = _of_class("builtins.bool", "numpy.bool", "numpy.bool_")
_is_opened = _of_class("pystac.Catalog", "pystac.Item", "pystac.ItemCollection", "rsdat.ItemFile")
_is_data = _of_class("xarray.Dataset", "xarray.DataArray")

_KINDS = {
    "None": _Kind("None", lambda value: value is None),
    "bool": _Kind("True or False", _is_truth),
    "int": _Kind("a whole number", lambda v: isinstance(v, Integral) and not _is_truth(v)),
    "float": _Kind("a number", lambda v: isinstance(v, Real) and not _is_truth(v)),
    "str": _Kind("a text", lambda value: isinstance(value, str)),
    "PathLike": _Kind("a path", _is_path),
    "Href": _Kind("a path or an address", lambda v: isinstance(v, str) or _is_path(v)),
    "Moment": _Kind("a text or a datetime", lambda v: isinstance(v, str | datetime)),
    "Mapping": _Kind("a dict", lambda value: isinstance(value, Mapping)),
    "Callable": _Kind("a function", callable),
    "Client": _Kind("a Dask client", lambda value: hasattr(value, "nthreads")),
    "Item": _Kind("a STAC item", _of_class("pystac.Item")),
    "Opened": _Kind("an open catalog", _is_opened),
    "Dataset": _Kind("an xarray Dataset", _of_class("xarray.Dataset")),
    "DataArray": _Kind("an xarray DataArray", _of_class("xarray.DataArray")),
    "Data": _Kind("an xarray Dataset or DataArray", _is_data),
}

_shown = reprlib.Repr()
_shown.maxother = _shown.maxstring = 60
