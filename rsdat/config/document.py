"""A YAML file as values that know their lines; syntax errors and duplicate keys with theirs.

Scalars follow YAML 1.2, as editors do: ``10:30:00`` is a text and not a number to the base of 60,
``no`` is a text and not false, and dates are texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from rsdat.config.origin import Layer, Origin, Problem
from rsdat.config.values import Path, Values


class _Loader(yaml.SafeLoader):
    """A safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's own way to say it)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
# A number with a leading zero is a text: an account 0123 must not become 123 (nor 83, as in 1.1).
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:0|[1-9][0-9]*)?\.[0-9]+$|^[-+]?[1-9][0-9]*\.?[0-9]*[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])


@dataclass
class _Reader:
    """Walks one document's nodes; what it collects becomes a :class:`Values`."""

    layer: Layer
    file: str
    loader: _Loader
    leaves: dict[Path, Any] = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    open_nodes: list[yaml.Node] = field(default_factory=list)

    def at(self, node: yaml.Node) -> Origin:
        return Origin(self.layer, self.file, node.start_mark.line + 1)

    def complain(self, node: yaml.Node, path: Path, message: str) -> None:
        self.problems.append(Problem(self.at(node), ".".join(path), message))

    def mapping(self, node: yaml.MappingNode, path: Path) -> None:
        if any(other is node for other in self.open_nodes):
            self.complain(node, path, "an alias (*) that contains itself")
            return
        self.open_nodes.append(node)
        if not node.value and path:
            self.leaves[path] = {}
        for key, child_key, child in self.entries(node, path):
            self.origins[(*path, key)] = self.at(child_key)
            if isinstance(child, yaml.MappingNode):
                self.mapping(child, (*path, key))
            else:
                self.leaves[(*path, key)] = self.value(child, (*path, key))
        self.open_nodes.pop()

    def entries(self, node: yaml.MappingNode, path: Path) -> list[tuple[str, yaml.Node, yaml.Node]]:
        """A mapping's own entries over those that it merges in (``<<: *base``)."""
        own: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
        base: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
        for key_node, child in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                if isinstance(child, yaml.MappingNode) and child not in self.open_nodes:
                    base.update((entry[0], entry) for entry in self.entries(child, path))
                else:
                    self.complain(key_node, path, "<< takes one section (<<: *name)")
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self.complain(key_node, path, "expected a plain word as a key")
                continue
            key = str(key_node.value)
            if key in own:
                first = own[key][1].start_mark.line + 1
                message = f"the key is there twice (first in line {first})"
                self.complain(key_node, (*path, key), message)
                continue
            own[key] = (key, key_node, child)
        return list((base | own).values())

    def value(self, node: yaml.Node, path: Path) -> Any:
        """A scalar or a list; the origin of each item of a list is kept, too."""
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, child in enumerate(node.value):
                place = (*path, str(index))
                self.origins[place] = self.at(child)
                if isinstance(child, yaml.ScalarNode):
                    items.append(self.value(child, place))
                else:
                    # No list of a site holds sections or lists.
                    self.complain(child, path, "expected plain values in the list")
            return items
        try:
            return self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self.complain(node, path, f"a value that cannot be read as {node.tag}")
            return None


def parse_document(text: str, *, file: str, layer: Layer) -> tuple[Values, list[Problem]]:
    """The values of a YAML text and what is wrong with its form.

    ``file`` is the path that origins name. What is wrong with the values themselves (unknown keys,
    types) is not judged here.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        return Values(), [_syntax_problem(error, text, Origin(layer, file))]
    reader = _Reader(layer, file, loader)
    if isinstance(root, yaml.MappingNode):
        reader.mapping(root, ())
    elif root is not None and not (isinstance(root, yaml.ScalarNode) and root.value == ""):
        reader.complain(root, (), "expected keys such as 'head:' and 'pools:'")
    return Values(reader.leaves, reader.origins), reader.problems


def _syntax_problem(error: yaml.YAMLError, text: str, place: Origin) -> Problem:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        line = mark.line + 1
    else:
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1
    cause = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
    if "\\t" in cause or "'\t'" in cause:
        cause = "a tab where YAML wants spaces"
    return Problem(Origin(place.layer, place.place, line), "", f"not valid YAML: {cause}")
