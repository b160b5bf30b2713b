"""The key finds typing errors by itself: Reed-Solomon over GF(32) with 4 check characters has distance 5."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensing import keys

prefixes = st.text(keys.ALPHABET, min_size=2, max_size=4)


@given(prefixes)
def test_a_new_key_is_read_back(prefix: str) -> None:
    key = keys.generate(prefix)
    assert re.fullmatch(rf"{prefix}(-[0-9A-HJKMNP-TV-Z]{{5}}){{5}}", key)
    assert keys.canonical(key) == key.replace("-", "")
    assert keys.written(keys.canonical(key)) == key


def test_two_keys_differ_and_have_105_random_bits() -> None:
    assert len({keys.generate("NP") for _ in range(200)}) == 200
    assert keys.RANDOM_CHARACTERS * 5 == 105


@given(st.data())
def test_up_to_four_wrong_characters_are_found(data: st.DataObject) -> None:
    symbols = keys.canonical(keys.generate("NP"))
    places = data.draw(st.sets(st.integers(2, len(symbols) - 1), min_size=1, max_size=4))
    wrong = list(symbols)
    for place in places:
        wrong[place] = data.draw(st.sampled_from([c for c in keys.ALPHABET if c != symbols[place]]))
    with pytest.raises(keys.InvalidKeyFormat):
        keys.canonical("".join(wrong))


@given(st.data())
def test_any_two_swapped_characters_are_found(data: st.DataObject) -> None:
    symbols = list(keys.canonical(keys.generate("NP")))
    one, other = data.draw(st.tuples(st.integers(0, 26), st.integers(0, 26)))
    if symbols[one] == symbols[other]:
        return
    symbols[one], symbols[other] = symbols[other], symbols[one]
    with pytest.raises(keys.InvalidKeyFormat):
        keys.canonical("".join(symbols))


@given(st.text(max_size=60))
def test_any_text_is_a_key_or_malformed(text: str) -> None:
    try:
        keys.canonical(text)
    except keys.InvalidKeyFormat as error:
        assert str(error)


def test_what_people_misread_is_read_right() -> None:
    key = keys.generate("NP")
    untidy = " " + key.lower().replace("-", " ").replace("0", "o").replace("1", "l") + " "
    assert keys.canonical(untidy) == key.replace("-", "")


def test_a_prefix_belongs_to_the_key() -> None:
    key = keys.generate("NP")
    with pytest.raises(keys.InvalidKeyFormat):
        keys.canonical("NQ" + key[2:])


@pytest.mark.parametrize("prefix", ["", "N", "NPNPN", "np", "OI"])
def test_a_prefix_must_be_writable(prefix: str) -> None:
    with pytest.raises(ValueError, match="cannot start"):
        keys.generate(prefix)
