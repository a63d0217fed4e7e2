"""The rest of JSON of which a strict reader takes nothing."""

import json
import math
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from processor.core.reports.parsing import load_leniently, parse_leniently


class Shape(BaseModel):
    number: int
    more: Any = None


LOST = "lost"


def marked(value: Any) -> Any:
    """``value`` with a word in place of each NaN, which equals nothing."""
    match value:
        case float() if math.isnan(value):
            return LOST
        case list():
            return [marked(each) for each in value]
        case dict():
            return {name: marked(each) for name, each in value.items()}
        case _:
            return value


def nested(depth: int, inside: str = "1") -> str:
    return "[" * depth + inside + "]" * depth


def unnested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        (value,) = value
    return value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("null", None),
        ('{"a":[1.5,true,null,"x"]}', {"a": [1.5, True, None, "x"]}),
        ('"\\ud83d"', LOST),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('{"a":"\\udfff","b":["\\ud800",1]}', {"a": LOST, "b": [LOST, 1]}),
        ('{"\\ud83d":1,"b":2}', {"\ufffd": LOST, "b": 2}),
        ('{"a\\ud83d":{"b":1}}', {"a\ufffd": LOST}),
        ("[NaN,1]", [LOST, 1]),
        ("[" + "9" * 400 + "]", [int("9" * 400)]),
        ("[" + "9" * 401 + ",1]", [LOST, 1]),
        ("[-" + "9" * 399 + "]", [-int("9" * 399)]),
        ("[-" + "9" * 400 + "]", [LOST]),
        ('{"[":"]]]]","\\"[":1}', {"[": "]]]]", '"[': 1}),
        ("[1}", None),
        ("[1", None),
        ("1]", None),
        ("", None),
        ("{,}", None),
        ('"a', None),
    ],
)
def test_what_can_be_read_is_kept(text: str, expected: Any) -> None:
    """Each part that cannot be read is lost alone; what is no JSON is lost as a whole."""
    assert expected == marked(load_leniently(text))
    assert expected == marked(load_leniently(text.encode("utf-8", "surrogatepass")))


def test_bytes_that_are_no_text() -> None:
    """A string with such bytes is lost, the rest is not."""
    assert {"a": LOST, "b": 1} == marked(load_leniently(b'{"a":"\xff","b":1}'))


def test_nesting_that_is_read() -> None:
    """A hundred levels; of a hundred and one the innermost is lost, and what stands beside it is not."""
    assert 1 == unnested(load_leniently(nested(100)), 100)
    assert LOST == marked(unnested(load_leniently(nested(101)), 100))
    assert LOST == marked(unnested(load_leniently(nested(5000)), 100))
    assert {"a": 2} == {
        name: value
        for name, value in load_leniently('{"deep":' + nested(300, '"]"') + ',"a":2}').items()
        if name != "deep"
    }


def test_objects_nest_as_arrays_do() -> None:
    """Both count."""
    mixed = '{"a":[' * 60 + "1" + "]}" * 60

    assert load_leniently(mixed) is not None
    assert "NaN" in json.dumps(load_leniently(mixed))
    assert "NaN" not in json.dumps(load_leniently('{"a":[' * 50 + "1" + "]}" * 50))


def test_two_deep_parts() -> None:
    """Each is lost by itself, with what stands between them kept."""
    deep = nested(150)
    found = load_leniently(f'[{deep},"kept",{deep},7]')

    assert ["kept", 7] == [found[1], found[3]]
    assert [LOST, LOST] == [marked(unnested(found[at], 99)) for at in (0, 2)]


def test_what_never_closes_is_nothing() -> None:
    """Not even as deep as can be read."""
    assert load_leniently("[" * 200) is None
    assert load_leniently("[" * 200 + "]" * 99) is None


def test_reader_gets_the_rest() -> None:
    """Only where the JSON itself was refused."""
    parse = Shape.model_validate_json

    assert Shape(number=1, more="x") == parse_leniently(parse, b'{"number":1,"more":"x"}')
    assert {"number": 1, "more": LOST} == marked(parse_leniently(parse, b'{"number":1,"more":"\\ud83d"}').model_dump())


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"number":"x"}', "int_parsing"),
        (b'{"more":1}', "missing"),
        (b"{", "json_invalid"),
        (b'{"number":"x","more":"\\ud83d"}', "int_parsing"),
        (b'{"number":"\\ud83d"}', "finite_number"),
    ],
)
def test_reader_s_error_is_raised(body: bytes, kind: str) -> None:
    """That of the whole, or of the rest."""
    with pytest.raises(ValidationError) as caught:
        parse_leniently(Shape.model_validate_json, body)

    assert [kind] == [each["type"] for each in caught.value.errors()]


def test_wrong_value_is_not_read_twice() -> None:
    """What is JSON, and is no such shape, is refused at once."""
    bodies = []

    def parse(body: bytes | str) -> Shape:
        bodies.append(body)
        return Shape.model_validate_json(body)

    with pytest.raises(ValidationError):
        parse_leniently(parse, b'{"number":"x"}')
    assert [b'{"number":"x"}'] == bodies
