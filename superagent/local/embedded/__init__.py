"""A real PostgreSQL and a real Redis from wheels, for a machine that has neither.

`start(data_dir)` is idempotent: the first process starts the servers, every other one finds them. They
outlive the process that started them and are stopped by `stop(data_dir)`. Ports and passwords are kept in
`services.json` in the data directory, so that URLs stay the same after a restart. This package must not
import Django: settings.py calls it.

From a shell: `python -m superagent.local.embedded start|stop|urls [DATA_DIR]`.
"""

from __future__ import annotations

from pathlib import Path

from superagent.local.embedded import postgres, redis
from superagent.local.embedded.host import EmbeddedError, account
from superagent.local.embedded.state import DataDir, Services, State

__all__ = ["EmbeddedError", "Services", "start", "stop", "urls"]


def start(data_dir: Path, *, durable: bool = True) -> Services:
    """Returns the URLs of the servers under `data_dir`, starting those that do not run.

    `durable=False` is for tests: the servers do not wait for the disk, so a crash of the machine loses data.
    """
    place = DataDir(data_dir)
    state = place.read()
    if state and _is_up(place, state):
        return state.services()
    with place.lock():
        state = place.read() or State(path=str(place.path))
        place.write(state)
        runs_as = account()
        if not redis.answers(state):
            redis.start(place, state, runs_as, durable=durable)
        if not postgres.answers(place, state):
            postgres.start(place, state, runs_as, durable=durable)
        if state.roles != postgres.roles_version():
            postgres.create_roles_and_database(state)
            state.roles = postgres.roles_version()
            place.write(state)
    return state.services()


def urls(data_dir: Path) -> Services:
    """What settings.py calls when no URL is given."""
    return start(data_dir)


def stop(data_dir: Path) -> None:
    """Stop both servers cleanly; without running servers nothing happens."""
    place = DataDir(data_dir)
    if place.path.exists():
        with place.lock():
            postgres.stop(place)
            redis.stop(place)


def _is_up(place: DataDir, state: State) -> bool:
    return state.roles == postgres.roles_version() and postgres.answers(place, state) and redis.answers(state)
