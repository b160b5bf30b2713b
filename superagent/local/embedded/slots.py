"""A number for each process that runs tests, so that any number of them share one pair of servers.

The number names a database and a Redis database. The kernel holds it for the process and frees it when the
process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from superagent.local.embedded.host import EmbeddedError
from superagent.local.embedded.redis import DATABASES

_held: dict[Path, tuple[int, int]] = {}


def claim(data_dir: Path) -> int:
    """Returns the lowest free number, held until `leave` or the end of the process."""
    folder = data_dir / "slots"
    folder.mkdir(parents=True, exist_ok=True)
    users = os.open(folder / "users", os.O_RDWR | os.O_CREAT)
    fcntl.flock(users, fcntl.LOCK_SH)  # waits for a process that is stopping the servers
    for number in range(DATABASES):
        file = os.open(folder / str(number), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            _held[data_dir] = (users, file)
            return number
    raise EmbeddedError(f"all {DATABASES} numbers under {folder} are taken by running tests")


def leave(data_dir: Path) -> bool:
    """Release the number. Returns True if no process holds one; then none can be claimed until this process ends."""
    users, file = _held[data_dir]
    os.close(file)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
