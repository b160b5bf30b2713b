"""License keys: generating, formatting, parsing, and detecting typos.

`NP-7KQ2M-…` is a prefix and five groups of five characters of Crockford's base 32 (no I, L, O, U): 105 random bits,
then 4 check characters. Prefix, random part and check characters are one Reed-Solomon code word over GF(32) of at most
31 characters, so up to four wrong characters, and any two swapped ones, are detected without a request to the server.
"""

import hashlib
import re
import secrets
import unicodedata

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RANDOM_CHARACTERS = 21
CHECK_CHARACTERS = 4
GROUP = 5
PREFIX = re.compile(rf"[{ALPHABET}]{{2,4}}")

_BODY = RANDOM_CHARACTERS + CHECK_CHARACTERS
_VALUE = {character: value for value, character in enumerate(ALPHABET)}
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})
# Dashes, underscores, all kinds of spaces, tabs, zero-width characters; the minus sign is in another category.
_SEPARATORS = frozenset({"Pd", "Pc", "Zs", "Cc", "Cf"})
_MINUS = "\N{MINUS SIGN}"
_FIELD_POLYNOMIAL = 0b100101  # x^5 + x^2 + 1 is primitive


class InvalidKeyFormat(ValueError):
    """Not a license key: wrong length, characters or check characters."""


def generate(prefix: str) -> str:
    """Returns a new random key, in groups."""
    if not PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} cannot start a license key")
    data = prefix + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return written(data + _check(data))


def canonical(text: str) -> str:
    """Returns the canonical form, which is hashed: upper case, no separators, misread letters mapped back.

    Separators are dashes, spaces and invisible characters, which word processors and mail programs may insert.

    Raises InvalidKeyFormat when the length or the check characters are wrong.
    """
    symbols = text.upper().translate(_MISREAD)
    if not _VALUE.keys() >= set(symbols):
        symbols = _without_separators(text).upper().translate(_MISREAD)
        if not _VALUE.keys() >= set(symbols):
            raise InvalidKeyFormat("A license key has only letters and digits.")
    if not PREFIX.fullmatch(symbols[:-_BODY]):
        raise InvalidKeyFormat("A license key has a prefix and five groups of five characters.")
    if _check(symbols[:-CHECK_CHARACTERS]) != symbols[-CHECK_CHARACTERS:]:
        raise InvalidKeyFormat("The license key has a typo. Compare it with the original.")
    return symbols


def _without_separators(text: str) -> str:
    """Returns the text without separators, and with full-width letters and digits as plain ones."""
    return "".join(
        character
        for character in unicodedata.normalize("NFKC", text)
        if character != _MINUS and unicodedata.category(character) not in _SEPARATORS
    )


def written(symbols: str) -> str:
    """Returns a canonical key in groups, for people to read."""
    prefix, body = symbols[:-_BODY], symbols[-_BODY:]
    return "-".join([prefix, *(body[at : at + GROUP] for at in range(0, _BODY, GROUP))])


def digest(symbols: str) -> bytes:
    """Returns the SHA-256 that a key is found by. With 105 random bits it cannot be brute-forced."""
    return hashlib.sha256(symbols.encode()).digest()


def _exponentials() -> list[int]:
    powers = [1]
    while len(powers) < 31:
        doubled = powers[-1] << 1
        powers.append(doubled ^ _FIELD_POLYNOMIAL if doubled & 0b100000 else doubled)
    return powers


_EXP = _exponentials()
_LOG = {power: exponent for exponent, power in enumerate(_EXP)}


def _multiply(left: int, right: int) -> int:
    return _EXP[(_LOG[left] + _LOG[right]) % 31] if left and right else 0


def _generator() -> list[int]:
    """Returns (x - a)(x - a²)…, with one root for each check character. Subtraction is addition in GF(32)."""
    polynomial = [1]
    for exponent in range(1, CHECK_CHARACTERS + 1):
        shifted = [*polynomial, 0]
        scaled = [0, *(_multiply(coefficient, _EXP[exponent]) for coefficient in polynomial)]
        polynomial = [left ^ right for left, right in zip(shifted, scaled, strict=True)]
    return polynomial


_GENERATOR = _generator()[1:]


def _check(data: str) -> str:
    """Returns the remainder of `data` divided by the generator polynomial."""
    remainder = [0] * CHECK_CHARACTERS
    for character in data:
        factor = _VALUE[character] ^ remainder[0]
        shifted = [*remainder[1:], 0]
        remainder = [left ^ _multiply(factor, right) for left, right in zip(shifted, _GENERATOR, strict=True)]
    return "".join(ALPHABET[symbol] for symbol in remainder)
