"""Identifiers: UUID version 7, so that order by id is order by time and nothing can be guessed or counted."""

import os
import time
from datetime import datetime
from uuid import UUID


def uuid7() -> UUID:
    """A new UUIDv7 (RFC 9562, section 5.7; method 3 of section 6.2 fills `rand_a` with the sub-millisecond time)."""
    milliseconds, rest_ns = divmod(time.time_ns(), 1_000_000)
    sub_millisecond = (rest_ns << 12) // 1_000_000
    random_62_bits = int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=milliseconds << 80 | 0x7 << 76 | sub_millisecond << 64 | 0b10 << 62 | random_62_bits)


def first_at(moment: datetime) -> UUID:
    """Below every UUIDv7 of the millisecond of `moment`, above all earlier ones."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
