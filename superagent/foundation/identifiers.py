"""Identifiers: UUID version 7, so that order by id is order by time and nothing can be guessed or counted."""

import os
import struct
import time
from datetime import datetime
from uuid import UUID

_IN_STOCK = struct.Struct("=128Q")

_random_numbers: list[int] = []
"""Of 64 bits, from the system, each used once: asking it for every identifier makes threads queue for the interpreter
once more in every request."""


def uuid7() -> UUID:
    """Returns a new UUIDv7 (RFC 9562, section 5.7).

    Method 3 of section 6.2 fills `rand_a` with the sub-millisecond time.
    """
    return UUID(int=_uuid7_int())


def uuid7_hex() -> str:
    """Returns a new UUIDv7 as 32 hexadecimal digits."""
    return f"{_uuid7_int():032x}"


def _uuid7_int() -> int:
    milliseconds, rest_ns = divmod(time.time_ns(), 1_000_000)
    sub_millisecond = (rest_ns << 12) // 1_000_000
    random_62_bits = _random_64_bits() >> 2
    return milliseconds << 80 | 0x7 << 76 | sub_millisecond << 64 | 0b10 << 62 | random_62_bits


def _random_64_bits() -> int:
    while True:
        try:
            return _random_numbers.pop()
        except IndexError:
            _random_numbers.extend(_IN_STOCK.unpack(os.urandom(_IN_STOCK.size)))


os.register_at_fork(after_in_child=_random_numbers.clear)


def first_at(moment: datetime) -> UUID:
    """Returns the lowest UUIDv7 of the millisecond of `moment`."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
