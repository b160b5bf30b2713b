"""The data directory of the embedded servers, and their state between starts."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from superagent.local.embedded.host import HOST, free_port

DATABASE = "superagent"


@dataclass(frozen=True)
class Services:
    """Where the servers are. `database_url` logs in as app_web, `database_owner_url` as app_owner."""

    database_url: str
    database_owner_url: str
    redis_url: str


def _password() -> str:
    return secrets.token_hex(24)


@dataclass
class State:
    """What services.json remembers between starts."""

    path: str  # of the directory: a copy of it must not find the servers of the original
    roles: str = ""  # the hash of the roles.sql that was applied
    postgres_port: int = field(default_factory=free_port)
    redis_port: int = field(default_factory=free_port)
    superuser_password: str = field(default_factory=_password)
    owner_password: str = field(default_factory=_password)
    web_password: str = field(default_factory=_password)
    redis_password: str = field(default_factory=_password)

    def services(self) -> Services:
        address = f"{HOST}:{self.postgres_port}/{DATABASE}"
        return Services(
            database_url=f"postgres://app_web:{self.web_password}@{address}",
            database_owner_url=f"postgres://app_owner:{self.owner_password}@{address}",
            redis_url=f"redis://:{self.redis_password}@{HOST}:{self.redis_port}/0",
        )

    def superuser_url(self, database: str) -> str:
        return f"postgres://postgres:{self.superuser_password}@{HOST}:{self.postgres_port}/{database}"


class DataDir:
    """The files of one pair of servers."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.postgres = self.path / "postgres"
        self.postgres_log = self.path / "postgres.log"
        self.redis = self.path / "redis"
        self._state = self.path / "services.json"

    def read(self) -> State | None:
        try:
            state = State(**json.loads(self._state.read_text()))
        except FileNotFoundError:
            return None
        if state.path != str(self.path):
            state.path = str(self.path)
            state.postgres_port, state.redis_port = free_port(), free_port()
            state.redis_password = _password()
        return state

    def write(self, state: State) -> None:
        """Replace services.json in one step, readable by its owner only."""
        fresh = self._state.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(state), file, indent=1)
        fresh.replace(self._state)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One process at a time starts or stops; the kernel frees the lock of one that was killed."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "services.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
