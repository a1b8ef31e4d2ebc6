"""A checked formula language for indices: text to a value that computes on float32 planes.

The text is parsed, never run: every part of it is compared with a short list of what is allowed,
and what is left is computed by numpy. Everything is float32; a condition is 1, 0 or NaN, so that a
pixel without data stays without data in a comparison, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsdat.errors import ConfigError, DataError
from rsdat.raster.formula_kernels import Tree, compute

#: Longest text, deepest nesting and largest exponent; no published index comes near.
MAX_LENGTH = 1000
MAX_DEPTH = 60
MAX_EXPONENT = 64

#: Functions by name: the fewest and the most arguments.
FUNCTIONS: dict[str, tuple[int, float]] = {
    "abs": (1, 1),
    "sqrt": (1, 1),
    "exp": (1, 1),
    "log": (1, 1),
    "log10": (1, 1),
    "min": (2, float("inf")),
    "max": (2, float("inf")),
    "where": (3, 3),
    "clip": (3, 3),
}
_ALLOWED = (
    "allowed are band names, numbers, + - * / **, < <= > >= == !=, and or not (& | ~), "
    f"and the functions {', '.join(FUNCTIONS)}"
)
_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.And: "and",
    ast.Or: "or",
    ast.USub: "negative",
    ast.Not: "not",
    ast.Invert: "not",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Formula:
    """A formula that has been checked; equal where the normalised text is equal.

    Attributes
    ----------
    text
        The formula, normalised in spaces, parentheses and numbers.
    bands
        The names in it, in the order of their first use.
    """

    text: str
    bands: tuple[str, ...]
    _tree: Tree = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[object, ...]:
        # The text is all there is to it: small in a task, and checked again where it arrives.
        return (Formula.parse, (self.text,))

    @classmethod
    def parse(cls, text: str) -> Formula:
        """Check a formula such as ``(nir - red) / (nir + red)``.

        Band names, numbers, ``+ - * / **`` (the exponent a number), comparisons (also chained),
        ``and or not`` or ``& | ~`` between comparisons, ``abs sqrt exp log log10 min max``,
        ``where(condition, a, b)`` and ``clip(x, low, high)``.

        Raises
        ------
        ConfigError
            When something else stands there; it names the column.
        """
        if len(text) > MAX_LENGTH:
            raise ConfigError(
                f"a formula of {len(text)} characters is too long; {MAX_LENGTH} are allowed",
                hint="use a numpy function of your own for so much",
            )
        reader = _Reader(text)
        node = reader.syntax()
        tree = reader.read(node, 1)
        if not reader.bands:
            raise reader.refused(node, "no band is named")
        return cls(ast.unparse(node), tuple(reader.bands), tree)

    def evaluate(self, planes: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Compute it pixel by pixel.

        Parameters
        ----------
        planes
            An array for each of ``bands``, all of one shape, (y, x) as a rule. What is not float32
            is converted. They are not changed.

        Returns
        -------
        float32 array of that shape. NaN where a band that counts is NaN, where something is
        divided by zero, and where a function is not defined (``log`` of 0, ``sqrt`` of -1); a
        condition gives 1 or 0. What is not chosen by ``where`` does not count.

        Raises
        ------
        DataError
            When a band is missing, or the shapes differ.
        """
        self.check_bands(planes)
        arrays = {name: np.asarray(planes[name], dtype="float32") for name in self.bands}
        shapes = {array.shape for array in arrays.values()}
        if len(shapes) > 1:
            raise DataError(
                f"the bands of formula {self.text!r} differ in shape: "
                + ", ".join(f"{name} {array.shape}" for name, array in arrays.items()),
                hint="bring them to one grid first",
            )
        shape = shapes.pop()
        flat = {name: np.atleast_1d(array) for name, array in arrays.items()}
        return compute(self._tree, flat).reshape(shape)

    def check_bands(self, planes: Container[str]) -> None:
        """Raise a DataError that names the first band that is not among the planes."""
        missing = [name for name in self.bands if name not in planes]
        if missing:
            raise DataError(
                f"formula {self.text!r} needs band {missing[0]!r}, which is not there",
                hint=f"load all of its bands: {', '.join(self.bands)}",
            )


class _Reader:
    """One walk over the syntax of one text, collecting its bands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.bands: dict[str, None] = {}
        # Tabs and line ends mean nothing here, and Python's parser would stumble over them.
        self._plain = re.sub(r"\s", " ", text)
        self._skipped = len(self._plain) - len(self._plain.lstrip())

    def syntax(self) -> ast.expr:
        try:
            return ast.parse(self._plain.lstrip(), mode="eval").body
        except SyntaxError as error:
            # Offset 0: the text ended too early.
            place = (error.offset or len(self._plain.strip()) + 1) + self._skipped
            raise self._error(place, error.msg or "it cannot be read") from None
        except (ValueError, RecursionError, MemoryError):
            raise self._error(1, "it cannot be read") from None

    def refused(self, node: ast.AST, reason: str) -> ConfigError:
        """The error for this place of the text."""
        return self._at(getattr(node, "col_offset", 0), reason)

    def _refused_after(self, node: ast.expr, reason: str) -> ConfigError:
        """The error for what follows this part, an operator as a rule."""
        return self._at(node.end_col_offset or 0, reason)

    def _at(self, offset: int, reason: str) -> ConfigError:
        encoded = self._plain.lstrip().encode()  # ast counts bytes
        rest = encoded[offset:].decode()
        before = len(encoded[:offset].decode()) + len(rest) - len(rest.lstrip())
        return self._error(before + self._skipped + 1, reason)

    def _error(self, column: int, reason: str) -> ConfigError:
        shown = self.text
        if len(shown) > 80:
            shown = f"…{shown[max(column - 20, 0) : column + 40]}…"
        return ConfigError(
            f"formula {shown!r}, column {column}: {reason}", hint=f"write it anew: {_ALLOWED}"
        )

    def read(self, node: ast.expr, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise self.refused(node, f"nested deeper than {MAX_DEPTH} levels")
        match node:
            case ast.Name(id=name):
                return self._band(node, name)
            case ast.Constant():
                return self._number(node)
            case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
                return ("**", self.read(base, depth + 1), self._exponent(exponent, depth + 1))
            case ast.UnaryOp(op=operator, operand=operand):
                return self._operation(node, operator, [operand], depth)
            case ast.BinOp(left=left, op=operator, right=right):
                return self._operation(node, operator, [left, right], depth)
            case ast.BoolOp(op=operator, values=values):
                return self._operation(node, operator, values, depth)
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.Call():
                return self._call(node, depth)
            case ast.Attribute(value=value):
                raise self._refused_after(value, "an attribute (a point) is not allowed")
        raise self.refused(node, f"{_kind(node)} is not allowed")

    def _band(self, node: ast.expr, name: str) -> Tree:
        if name in FUNCTIONS:
            raise self.refused(node, f"{name} is a function: {name}(…)")
        if not _NAME.fullmatch(name):
            raise self.refused(node, f"{name!r} is not a band's name")
        self.bands[name] = None
        return ("band", name)

    def _number(self, node: ast.Constant) -> Tree:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self.refused(node, f"{_kind(node)} is not allowed")
        if abs(node.value) > float(np.finfo("float32").max):
            raise self.refused(node, "the number is too large for float32")
        if node.value == int(node.value):
            node.value = int(node.value)  # 2.0 and 2 are one formula
        return ("number", float(node.value))

    def _exponent(self, node: ast.expr, depth: int) -> float:
        found = self.read(node, depth)
        sign = 1
        if found[0] == "negative":
            sign, found = -1, found[1]
        if found[0] != "number":
            raise self.refused(node, "an exponent has to be a number")
        if found[1] > MAX_EXPONENT:
            raise self.refused(node, f"an exponent beyond {MAX_EXPONENT} is not allowed")
        return float(sign * found[1])

    def _operation(
        self, node: ast.expr, operator: ast.AST, operands: list[ast.expr], depth: int
    ) -> Tree:
        name = _OPERATORS.get(type(operator))
        if name is None:
            first = operands[0] if len(operands) > 1 else node
            refuse = self._refused_after if len(operands) > 1 else self.refused
            raise refuse(first, f"the operator {_kind(operator)} is not allowed")
        read = [self.read(operand, depth + 1) for operand in operands]
        if name in ("and", "or", "not"):
            for operand, tree in zip(operands, read, strict=True):
                self._condition(operand, tree)
        if name == "/" and read[1] == ("number", 0.0):
            raise self.refused(operands[1], "division by zero")
        return (name, *read)

    def _comparison(self, node: ast.Compare, depth: int) -> Tree:
        operands = [self.read(part, depth + 1) for part in (node.left, *node.comparators)]
        names = [_OPERATORS.get(type(operator)) for operator in node.ops]
        if None in names:
            place = names.index(None)
            left = (node.left, *node.comparators)[place]
            raise self._refused_after(left, f"the operator {_kind(node.ops[place])} is not allowed")
        return ("compare", tuple(names), *operands)

    def _call(self, node: ast.Call, depth: int) -> Tree:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            called = node.func.id if isinstance(node.func, ast.Name) else _kind(node.func)
            raise self.refused(node, f"a call of {called} is not allowed")
        name = node.func.id
        low, high = FUNCTIONS[name]
        if node.keywords or not low <= len(node.args) <= high:
            count = f"{low} or more" if high > low else f"{low}"
            raise self.refused(node, f"{name} takes {count} arguments, without names")
        read = [self.read(argument, depth + 1) for argument in node.args]
        if name == "where":
            self._condition(node.args[0], read[0])
        return (name, *read)

    def _condition(self, node: ast.expr, tree: Tree) -> None:
        if tree[0] not in ("compare", "and", "or", "not"):
            raise self.refused(
                node, "a condition is needed here, such as (red < 0.1); mind the parentheses"
            )


def _kind(node: ast.AST) -> str:
    words = {
        ast.Attribute: "an attribute",
        ast.Subscript: "a subscript",
        ast.IfExp: "if … else (use where)",
        ast.Constant: "a text or such a constant",
        ast.JoinedStr: "a text",
        ast.FloorDiv: "//",
        ast.Mod: "%",
        ast.BitXor: "^ (a power is **)",
        ast.UAdd: "+ in front of a part",
        ast.MatMult: "@",
    }
    return words.get(type(node), type(node).__name__.lower())
