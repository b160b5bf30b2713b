"""Units of the request quota taken some at a time, for callers that call often: most requests then need no round trip.

A caller that made more than a hundred requests in a fifth of a second on this process is given up to 32 units at once,
already counted, for a fifth of a second; what it does not use is given back. So nothing is ever admitted that was not
taken, a revoked key ends within the same second, and where little is left to give out there are no leases: the last
units are given out one by one.
"""

import atexit
import os
import threading
import time
from uuid import UUID

from accounts import key_records
from metering.admission import counters, rates, redis_wire, scripts
from metering.admission.charges import Charge
from metering.admission.rates import Pace

LIFETIME_SECONDS = 0.2
BUSY = 100
"""Requests in one lifetime, above which a caller gets leases."""
SMALL, LARGE = 8, 32
SWEEP_SECONDS = 0.1


class Caller:
    """One API key on this process; used by many threads."""

    __slots__ = ("_charge", "_count", "_expires", "_lock", "_packed", "_size", "_stored", "_uncounted", "_units",
                 "_window", "organization_id")  # fmt: skip

    def __init__(self, *, key_hash: bytes, organization_id: UUID, api_key_id: UUID) -> None:
        record = redis_wire.pack("GET", key_records.name_of(key_hash))
        self.organization_id = organization_id
        self._packed = {
            size: record + counters.pack_charge(organization_id, str(api_key_id), size)
            for size in (1, SMALL, LARGE)
        }
        self._uncounted = record + rates.pack_pace(organization_id, str(api_key_id))
        self._lock = threading.Lock()
        self._units = 0
        self._expires = self._window = 0.0
        self._count = 0
        self._size = 1
        self._stored: bytes | None = None
        self._charge: Charge | None = None

    def obtain(self) -> tuple[bytes | None, Charge | None]:
        """The key's record, None if Redis has none, and the verdict on one request, None if PostgreSQL must be asked.

        Raises exchange.LOST.
        """
        with self._lock:
            now = time.monotonic()
            self._count_request(now)
            if self._units and now < self._expires and self._charge is not None:
                self._units -= 1
                return self._stored, self._charge.earlier(self._units)
            size = self._size
        stored, answer = redis_wire.send(self._packed[size], 2, (scripts.CHARGE,))
        charge = counters.verdict(self.organization_id, answer)
        if charge is not None and charge.units > 1:
            self._keep(stored, charge)
            charge = charge.earlier(charge.units - 1)
        return stored, charge

    def obtain_uncounted(self) -> tuple[bytes | None, Pace]:
        """As `obtain`, for a request that the quota does not count. Raises exchange.LOST."""
        stored, answer = redis_wire.send(self._uncounted, 2, (scripts.PACE,))
        return stored, Pace(*answer)

    def give_back(self, *, all_of_them: bool = False) -> None:
        """Give back what was not used of a lease that has run out. Raises exchange.LOST."""
        with self._lock:
            charge, units = self._charge, self._units
            if charge is None or not units or (time.monotonic() < self._expires and not all_of_them):
                return
            self._units = 0
        _refund(charge, units)

    def forget(self) -> None:
        self._lock, self._units = threading.Lock(), 0

    @property
    def holds_units(self) -> bool:
        return self._units > 0

    def _count_request(self, now: float) -> None:
        """Choose the size of the next lease by how many requests the last window saw."""
        if now - self._window >= LIFETIME_SECONDS:
            is_recent = now - self._window < 2 * LIFETIME_SECONDS
            busy = self._count if is_recent else 0
            self._size = 1 if busy < BUSY else SMALL if busy < 2 * BUSY else LARGE
            self._window, self._count = now, 0
        self._count += 1

    def _keep(self, stored: bytes | None, charge: Charge) -> None:
        with self._lock:
            former, units = self._charge, self._units
            self._stored, self._charge = stored, charge
            self._units, self._expires = charge.units - 1, time.monotonic() + LIFETIME_SECONDS
        if former is not None and units:
            _refund(former, units)  # another thread leased at the same time
        _watch(self)


def _refund(charge: Charge, units: int) -> None:
    key = counters.counter_key(charge.organization_id)
    redis_wire.run_once(scripts.REFUND, [key], charge.facts.seed, units)


# --- Giving back, from a thread of its own

_watched: set[Caller] = set()
_watch_lock = threading.Lock()
_thread_pid = 0


def _watch(caller: Caller) -> None:
    global _thread_pid
    with _watch_lock:
        _watched.add(caller)
        if _thread_pid != os.getpid():
            _thread_pid = os.getpid()
            threading.Thread(target=_sweep_forever, name="request-leases", daemon=True).start()
            atexit.register(give_all_back)


def _sweep_forever() -> None:
    while True:
        time.sleep(SWEEP_SECONDS)
        sweep()


def sweep() -> None:
    """Give back what ran out. A lost Redis forgets it with everything else."""
    with _watch_lock:
        callers = list(_watched)
    for caller in callers:
        try:
            caller.give_back()
        except redis_wire.LOST as error:
            counters.note_loss(error)
            return
    with _watch_lock:
        _watched.difference_update([caller for caller in callers if not caller.holds_units])


def give_all_back() -> None:
    """At the process's end."""
    for caller in list(_watched):
        try:
            caller.give_back(all_of_them=True)
        except redis_wire.LOST:
            return


def _after_fork() -> None:
    """The leases are the parent's."""
    global _watch_lock
    _watch_lock = threading.Lock()
    for caller in _watched:
        caller.forget()
    _watched.clear()


os.register_at_fork(after_in_child=_after_fork)
