"""One round trip to Redis with as little Python as possible: it is a third of the cost of a metered request.

A thread has one connection, opened and authenticated by redis-py; commands are packed once and kept; answers are
parsed by hiredis. Raises LOST when Redis is down, silent or refuses.
"""

import os
import re
import socket
import struct
import threading
from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from typing import Any

import hiredis
import redis
from django.conf import settings

from metering.admission.scripts import Script
from superagent.foundation.redis_client import LOST, TIMEOUT_SECONDS, breaker

__all__ = ["LOST", "RUN", "pack", "pack_script", "reconnect", "run", "run_once", "send"]

RUN = b"(the server it is sent to: its run id and the id of its history)"
"""As an argument of a script. A Redis that was restarted has another run id; one that was made a master, also for the
second time, begins another history: what it holds may be older than what was answered."""

_local = threading.local()


def pack(*parts: bytes | str | int) -> bytes:
    """Returns a command in Redis's wire format."""
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(out)


def pack_script(script: Script, keys: Sequence[str], *arguments: bytes | str | int) -> bytes:
    return pack("EVALSHA", script.sha, len(keys), *keys, *arguments)


def reconnect() -> None:
    """Open a new connection for this thread's next message, which reads the server's run id again."""
    _local.wire = None


def run(script: Script, keys: Sequence[str], *arguments: bytes | str | int) -> Any:
    """Returns the answer of one script."""
    return send(pack_script(script, keys, *arguments), 1, (script,))[0]


def run_once(script: Script, keys: Sequence[str], *arguments: bytes | str | int) -> Any:
    """As `run`, for what must not happen twice: where it is not known whether it did, it raises LOST."""
    return send(pack_script(script, keys, *arguments), 1, (script,), tries=1)[0]


def send(packed: bytes, count: int, scripts: Sequence[Script] = (), *, tries: int = 2) -> list[Any]:
    """Returns the answers of `count` packed commands; `scripts` are loaded if the server does not know them. A
    closed connection is opened again, `tries` times in all."""
    answers = _exchange(packed, count, tries)
    for answer in answers:
        if type(answer) is hiredis.ReplyError:
            return _repeat(answer, packed, count, scripts, tries)
    return answers


def _repeat(error: Exception, packed: bytes, count: int, scripts: Sequence[Script], tries: int) -> list[Any]:
    """Load the scripts, if that is what is missing, and send again: beside a script, a message has only reads."""
    if not str(error).startswith("NOSCRIPT"):
        _local.wire = (
            None  # a master that has become a replica refuses; when it is one again, it is another server
        )
        raise redis.ResponseError(str(error))
    _exchange(b"".join(pack("SCRIPT", "LOAD", script.source) for script in scripts), len(scripts))
    answers = _exchange(packed, count, tries)
    for answer in answers:
        if type(answer) is hiredis.ReplyError:
            raise redis.ResponseError(str(answer))
    return answers


def _exchange(packed: bytes, count: int, tries: int = 2) -> list[Any]:
    breaker.check()
    try:
        answers = _exchanged(packed, count, tries)
    except redis.TimeoutError:
        breaker.timed_out()
        raise
    breaker.answered()
    return answers


def _exchanged(packed: bytes, count: int, tries: int) -> list[Any]:
    wire = getattr(_local, "wire", None)
    if wire is not None and wire.pid == os.getpid():
        try:
            return wire.exchange(packed, count)
        except _Closed as error:  # the server closed an idle connection, or restarted
            _local.wire = None
            if tries == 1:
                raise redis.ConnectionError("Redis closed the connection") from error
        except OSError as error:
            _local.wire = None
            raise _translated(error) from error
    _local.wire = None
    try:
        wire = _Wire()
        answers = wire.exchange(packed, count)
    except _Closed as error:
        raise redis.ConnectionError("Redis closed the connection") from error
    except OSError as error:
        raise _translated(error) from error
    _local.wire = wire
    return answers


class _Closed(Exception):
    """The connection was found closed before the first byte of an answer."""


class _Wire:
    def __init__(self) -> None:
        self.pid = os.getpid()
        # Not by the pool's make_connection: it counts what it ever made, and refuses after a hundred lost connections
        pool = _pool()
        self._connection = pool.connection_class(**pool.connection_kwargs)
        self._connection.connect()  # opens, authenticates, chooses the database
        self._run = self._ask_run_id()
        self._socket = self._connection._sock
        if type(self._socket) is socket.socket:  # not TLS, whose reads are several
            _let_kernel_time_out(self._socket)
        self._reader = hiredis.Reader()

    def _ask_run_id(self) -> bytes:
        """Raises redis.ResponseError for a server that does not report its run id: data loss could not be detected."""
        self._connection.send_command("INFO")
        told = self._connection.read_response()
        run, history = re.search(rb"run_id:(\w+)", told), re.search(rb"master_replid:(\w+)", told)
        if run is None or history is None:
            raise redis.ResponseError("Redis does not tell its run_id and master_replid (INFO)")
        return sha1(run[1] + history[1], usedforsecurity=False).hexdigest().encode().ljust(len(RUN), b"-")

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        try:
            self._socket.sendall(packed.replace(RUN, self._run))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _Closed from error
        answers: list[Any] = []
        reader = self._reader
        is_first = True
        while True:
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError as error:
                raise (_Closed() if is_first else error) from error
            if not data:
                raise _Closed if is_first else ConnectionResetError("Redis closed the connection")
            is_first = False
            reader.feed(data)
            while (answer := reader.gets()) is not False:
                answers.append(answer)
                if len(answers) == count:
                    return answers


@cache
def _pool() -> "redis.ConnectionPool":
    return redis.ConnectionPool.from_url(
        settings.REDIS_URL, protocol=2, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )


def _let_kernel_time_out(connected: socket.socket) -> None:
    """Python's own time-out is a `poll` before each read and write: a system call more, and one more moment at which
    the thread must queue for the interpreter."""
    limit = struct.pack("@ll", int(TIMEOUT_SECONDS), int(TIMEOUT_SECONDS % 1 * 1_000_000))  # a timeval
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    connected.settimeout(None)


def _translated(error: OSError) -> Exception:
    if isinstance(error, TimeoutError | BlockingIOError):  # Python's time-out, and the kernel's
        return redis.TimeoutError(str(error))
    return redis.ConnectionError(str(error))
