"""YAML files: values with their lines, YAML 1.2's scalars, and clear faults of form."""

from __future__ import annotations

from rsdat.config.document import parse_document
from rsdat.config.origin import Layer, Problem
from rsdat.config.values import Values


def read(text: str) -> tuple[Values, list[Problem]]:
    return parse_document(text, file="x.yaml", layer=Layer.ADMIN)


def faults(text: str) -> list[str]:
    return [str(problem) for problem in read(text)[1]]


def test_every_value_knows_its_line() -> None:
    values, problems = read("a: 1\nb:\n  c:\n    - x\n    - y\n  d: {e: 2}\n")
    assert not problems
    assert values.nested() == {"a": 1, "b": {"c": ["x", "y"], "d": {"e": 2}}}
    lines = {".".join(path): origin.line for path, origin in values.origins.items()}
    assert lines == {"a": 1, "b": 2, "b.c": 3, "b.c.0": 4, "b.c.1": 5, "b.d": 6, "b.d.e": 6}


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = (
        "time: 10:30:00\nno: no\naccount: 0123\ndate: 2024-01-01\nyes: true\nnone: ~\nnumber: -7\n"
    )
    assert read(text)[0].nested() == {
        "time": "10:30:00",
        "no": "no",
        "account": "0123",
        "date": "2024-01-01",
        "yes": True,
        "none": None,
        "number": -7,
    }


def test_a_pool_may_start_from_another() -> None:
    text = "pools:\n  a: &a {cores: 4, qos: x}\n  b:\n    <<: *a\n    cores: 8\n"
    values, problems = read(text)
    assert not problems
    assert values.nested()["pools"]["b"] == {"cores": 8, "qos": "x"}
    assert values.origin(("pools", "b", "qos")).line == 2


def test_an_empty_file_says_nothing() -> None:
    for text in ("", "\n", "# only a comment\n", "---\n"):
        assert read(text) == (Values(), [])


def test_a_key_that_is_there_twice_is_a_fault() -> None:
    assert faults("head:\n  cores: 1\n  memory: 1G\n  cores: 2\n") == [
        "x.yaml:4: head.cores: the key is there twice (first in line 2)"
    ]


def test_a_syntax_error_names_its_line() -> None:
    (fault,) = faults("head:\n  cores: 1\n  memory: [1\npools: {}\n")
    assert fault.startswith("x.yaml:4: not valid YAML: ")
    (fault,) = faults("head:\n\tcores: 1\n")
    assert fault == "x.yaml:2: not valid YAML: a tab where YAML wants spaces"
    (fault,) = faults("head: 1\nx: \x07\n")
    assert fault.startswith("x.yaml:2: not valid YAML")


def test_forms_that_no_site_has_are_faults() -> None:
    assert faults("- a\n- b\n") == ["x.yaml:1: expected keys such as 'head:' and 'pools:'"]
    assert faults("a:\n  - b: 1\n") == ["x.yaml:2: a: expected plain values in the list"]
    assert faults("? [a, b]\n: 1\n") == ["x.yaml:1: expected a plain word as a key"]
    assert faults("a: &a\n  b: *a\n") == ["x.yaml:1: a.b: an alias (*) that contains itself"]
    assert faults("a: &a\n  <<: *a\n") == ["x.yaml:2: a: << takes one section (<<: *name)"]
    (fault,) = faults("a: 1\nb: !!python/object:os.system x\n")
    assert fault.startswith("x.yaml:2: b: a value that cannot be read")
    (fault,) = faults("a: 1\n---\nb: 1\n")
    assert fault.startswith("x.yaml:2: not valid YAML")
