"""How a checked formula is computed: a walk over its tree with numpy, in float32.

A condition is 1, 0 or NaN: a pixel without data stays without data in a comparison, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: An operation and its operands; ("band", name) and ("number", value) are the leaves.
Tree = tuple[Any, ...]

#: A plane or a number, and whether the plane is ours to overwrite.
_Value = tuple[Any, bool]

_UFUNCS: dict[str, Any] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "negative": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "min": np.minimum,
    "max": np.maximum,
    # Of conditions, which are 1, 0 or NaN.
    "and": np.minimum,
    "or": np.maximum,
}
_COMPARISONS: dict[str, Any] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
_ONE = np.float32(1)
_NAN = np.float32("nan")


def compute(tree: Tree, planes: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The plane of a checked formula; a new array, of the shape of the planes (not 0-d)."""
    with np.errstate(all="ignore"):
        value, owned = _compute(tree, planes)
    result: NDArray[np.float32] = value if owned else value.copy()
    return result


def _compute(tree: Tree, planes: Mapping[str, NDArray[Any]]) -> _Value:
    name, *operands = tree
    if name == "band":
        return planes[operands[0]], False
    if name == "number":
        return np.float32(operands[0]), False
    if name == "compare":
        return _compared(operands[0], [_compute(part, planes) for part in operands[1:]])
    if name == "**":
        return _power(_compute(operands[0], planes), operands[1])
    values = [_compute(part, planes) for part in operands]
    special = _SPECIAL.get(name)
    if special is not None:
        return special(*values)
    if len(values) == 1:
        return _apply(_UFUNCS[name], *values)
    return reduce(lambda left, right: _apply(_UFUNCS[name], left, right), values)


def _apply(ufunc: Any, *values: _Value) -> _Value:
    # Into the first plane that nobody else holds: a formula of any length has few temporaries.
    out = next((value for value, owned in values if owned), None)
    result = ufunc(*(value for value, _ in values), out=out)
    return result, isinstance(result, np.ndarray)


def _undefined(value: _Value, where: Any) -> _Value:
    """The value with NaN there."""
    plane, owned = value
    if not owned:
        return (_NAN if where else plane), False
    if where.any():
        np.copyto(plane, _NAN, where=where)
    return plane, True


def _divided(left: _Value, right: _Value) -> _Value:
    zero = right[0] == 0  # before: the quotient may be written over it
    return _undefined(_apply(np.divide, left, right), zero)


def _logarithm(ufunc: Any) -> Callable[[_Value], _Value]:
    def compute(value: _Value) -> _Value:
        zero = value[0] == 0
        return _undefined(_apply(ufunc, value), zero)

    return compute


def _power(base: _Value, exponent: float) -> _Value:
    if exponent == 2:
        return _apply(np.square, base)
    zero = base[0] == 0 if exponent < 0 else np.False_
    return _undefined(_apply(np.power, base, (np.float32(exponent), False)), zero)


def _compared(names: tuple[str, ...], values: list[_Value]) -> _Value:
    pairs = [
        _condition(_COMPARISONS[name], left[0], right[0])
        for name, left, right in zip(names, values, values[1:], strict=False)
    ]
    return reduce(lambda left, right: _apply(np.minimum, left, right), pairs)


def _condition(ufunc: Any, left: Any, right: Any) -> _Value:
    plane = ufunc(left, right).astype("float32")
    value = plane, isinstance(plane, np.ndarray)
    for operand in (left, right):
        value = _undefined(value, np.isnan(operand))
    return value


def _negated(value: _Value) -> _Value:
    return _apply(np.subtract, (_ONE, False), value)


def _chosen(condition: _Value, left: _Value, right: _Value) -> _Value:
    plane: Any = np.where(condition[0] != 0, left[0], right[0])
    value = (plane, True) if plane.ndim else (plane[()], False)
    return _undefined(value, np.isnan(condition[0]))


def _clipped(value: _Value, low: _Value, high: _Value) -> _Value:
    return _apply(np.minimum, _apply(np.maximum, value, low), high)


_SPECIAL: dict[str, Callable[..., _Value]] = {
    "/": _divided,
    "log": _logarithm(np.log),
    "log10": _logarithm(np.log10),
    "not": _negated,
    "where": _chosen,
    "clip": _clipped,
}
