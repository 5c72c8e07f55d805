"""A TOML text, as every file of this program is read."""

import pytest

from protocols.tables import read_tables


def test_tables_come_as_they_are_written() -> None:
    text = "a = 1\n[b]\nc = [1.5, 'x', {d = true}]\n"
    assert read_tables(text.encode()) == {"a": 1, "b": {"c": [1.5, "x", {"d": True}]}}


@pytest.mark.parametrize("number", [0, 2**63 - 1, -(2**63)])
def test_whole_numbers_of_64_bits_are_taken(number: int) -> None:
    assert read_tables(f"a = {number}".encode()) == {"a": number}


@pytest.mark.parametrize("text", ["a = {}", "[b]\na = {}", "a = [[{}]]", "a = {{ b = [1, {}] }}"])
@pytest.mark.parametrize("number", [str(2**63), str(-(2**63) - 1), "0x" + "f" * 5000])
def test_a_larger_one_is_refused_wherever_it_stands(text: str, number: str) -> None:
    with pytest.raises(ValueError, match="a whole number of more than 64 bits"):
        read_tables(text.format(number).encode())


@pytest.mark.parametrize("raw", [b"a = \xff", b"a", b"a = 1\na = 2", b"a = " + b"9" * 5000, b"a = " + b"[" * 100_000])
def test_what_is_no_toml_is_a_value_error_of_one_line(raw: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        read_tables(raw)
    assert "\n" not in str(caught.value)
