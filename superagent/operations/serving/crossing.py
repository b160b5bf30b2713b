"""One request between the event loop and the thread that answers it.

Parts of the response go in one direction, "continue" or "stop" in the other. While one block is being sent to the
client, the thread makes the next one and then waits: a slow client holds two blocks, never a whole response.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import closing, suppress
from enum import Enum, auto
from queue import SimpleQueue

from superagent.operations.serving import answers
from superagent.operations.serving.answers import Part, WsgiApplication
from superagent.operations.serving.asgi import Receive
from superagent.operations.serving.environ import Environ
from superagent.operations.serving.threads import Threads

Outcome = Part | BaseException | None
"""What a thread has to say: a part of the answer, that it failed, or nothing, since nobody listens."""


class _Word(Enum):
    GO_ON = auto()
    STOP = auto()


class Crossing:
    """A request in a thread; `arrival` is set for each part of the response."""

    def __init__(self, application: WsgiApplication, environ: Environ, threads: Threads) -> None:
        self._application = application
        self._environ = environ
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._words: SimpleQueue[_Word] = SimpleQueue()  # to the thread
        self._watch: asyncio.Task[None] | None = None
        self._is_left = False
        self._is_under_way = False  # a part that was given to the loop and not yet asked about
        self.arrival: asyncio.Future[Outcome] = self._loop.create_future()

    # In the event loop

    @property
    def is_left(self) -> bool:
        return self._is_left

    def watch(self, receive: Receive) -> None:
        """Notice that the client leaves: a waiting request is then not run, and a response in progress is ended."""
        if self._watch is None:
            self._watch = asyncio.create_task(_until_gone(receive))
            self._watch.add_done_callback(self._gone)

    def next_arrival(self) -> asyncio.Future[Outcome]:
        self.arrival = self._loop.create_future()
        if self._is_left:
            self.arrival.set_result(None)
        else:
            self._words.put(_Word.GO_ON)
        return self.arrival

    def leave(self) -> None:
        """Nobody waits any longer: the thread stops at the next part."""
        self._is_left = True
        self._words.put(_Word.STOP)
        if self._watch is not None:
            self._watch.cancel()

    def _gone(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled():
            watch.exception()  # whatever it is, nobody is there
            self.leave()
            self._arrive(None)

    def _arrive(self, outcome: Outcome) -> None:
        if not self.arrival.done():
            self.arrival.set_result(outcome)

    def _end(self, outcome: Outcome) -> None:
        self._threads.ended()
        self._arrive(outcome)

    # In the thread

    def run(self) -> None:
        outcome: Outcome = None
        try:
            if not self._is_left:
                outcome = self._context.run(self._answer)
        except BaseException as error:  # noqa: BLE001 - even SystemExit ends this request only
            outcome = error
            if self._is_under_way:
                self._words.get()
        with suppress(Exception):
            self._environ["wsgi.input"].close()
        self._post(self._end, outcome)

    def _answer(self) -> Part | None:
        """Hand over all parts but the last. Returns that; None if the client has gone."""
        with closing(answers.parts(self._application, self._environ)) as parts:
            for part in parts:
                if self._is_under_way:
                    self._is_under_way = False
                    if self._words.get() is _Word.STOP:
                        break
                if part.is_last:
                    return part
                self._is_under_way = True
                self._post(self._arrive, part)
        return None

    def _post(self, call: Callable[[Outcome], None], outcome: Outcome) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server did not wait for this thread
            self._loop.call_soon_threadsafe(call, outcome)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
