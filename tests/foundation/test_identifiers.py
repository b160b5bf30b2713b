import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

from superagent.foundation import identifiers
from superagent.foundation.identifiers import first_at, uuid7


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


def test_a_moment_divides_what_was_made_before_it_from_what_came_after():
    identifier = uuid7()
    made_at = datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
    assert first_at(made_at) < identifier < first_at(made_at + timedelta(milliseconds=1))


def test_a_forked_process_makes_other_identifiers_than_its_parent():
    identifiers.uuid7()  # fills the stock of random numbers, which the child must not use again
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, identifiers.uuid7_hex().encode())
        os._exit(0)
    os.waitpid(child, 0)
    of_child = UUID(hex=os.read(reading, 32).decode())
    os.close(reading)
    os.close(writing)
    random_bits = (1 << 62) - 1

    assert of_child.version == 7
    assert of_child.int & random_bits != identifiers.uuid7().int & random_bits


def test_no_two_threads_get_the_same_random_bits():
    random_bits = (1 << 62) - 1
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: identifiers.uuid7().int & random_bits, range(8 * 1024)))

    assert len(set(found)) == len(found)
