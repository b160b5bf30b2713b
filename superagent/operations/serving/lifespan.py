"""Start and stop of a web process (ASGI, "Lifespan Protocol")."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


async def in_thread(function: Callable[[], None]) -> None:
    """Run in a thread that does not keep the process alive if it takes too long."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        try:
            function()
        finally:
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="at-stop", daemon=True).start()
    await done.wait()


def on_stop_signal(callback: Callable[[], None]) -> None:
    """Call `callback` in the event loop at SIGINT or SIGTERM, before the server's own handler.

    The server announces its stop to applications only after its graceful timeout, which is too late for streams.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        earlier = signal.getsignal(number)
        if not callable(earlier):
            continue

        def handle(
            signum: int, frame: FrameType | None, earlier: Callable[[int, FrameType | None], Any] = earlier
        ) -> None:
            loop.call_soon_threadsafe(callback)
            earlier(signum, frame)

        signal.signal(number, handle)
