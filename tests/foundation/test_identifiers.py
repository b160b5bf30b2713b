import time
from uuid import UUID

from superagent.foundation.identifiers import uuid7


def test_uuid7_has_version_and_variant_of_rfc_9562():
    identifier = uuid7()
    assert identifier.version == 7
    assert identifier.variant == "specified in RFC 4122"


def test_uuid7_orders_by_time():
    first = uuid7()
    time.sleep(0.002)
    assert first < uuid7()


def test_uuid7_carries_the_unix_milliseconds():
    before = time.time_ns() // 1_000_000
    identifier: UUID = uuid7()
    assert before <= identifier.int >> 80 <= time.time_ns() // 1_000_000


def test_uuid7_does_not_repeat():
    assert len({uuid7() for _ in range(10_000)}) == 10_000
