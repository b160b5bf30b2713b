"""Durable objects: dicts held in memory and written through to SQLite at the end of each transaction.

Everything that must outlive the process is an object with an `id` and a kind (its `object` field). A transaction
collects changed copies in a layer; leaving it writes them to SQLite in one commit and only then shows them to others.
Layers nest, so a preview can run the real code and throw the result away. WAL survives `kill -9`.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Object = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
)
"""
UPSERT = """
INSERT INTO object (id, kind, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body
"""


def clone(value: Any) -> Any:
    """Copy nested dicts and lists; much faster than `copy.deepcopy` for JSON values."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


class Store:
    """All objects of the sandbox. Not thread-safe: one event loop owns it."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self._ids: dict[str, dict[str, None]] = {}
        self._layers: list[dict[str, Object | None]] = []
        self._connection: sqlite3.Connection | None = None
        self._listeners: list[Callable[[list[Object]], None]] = []

    def open(self, path: Path) -> None:
        """Open (or create) the file and load every object from it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(SCHEMA)
        self._objects.clear()
        self._ids.clear()
        for body, kind in self._connection.execute("SELECT body, kind FROM object ORDER BY seq"):
            obj = json.loads(body)
            self._objects[obj["id"]] = obj
            self._ids.setdefault(kind, {})[obj["id"]] = None

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def listen(self, listener: Callable[[list[Object]], None]) -> None:
        """Call `listener` with the changed objects after every commit."""
        self._listeners.append(listener)

    # Reading

    def get(self, object_id: str | None) -> Object | None:
        """Returns the object, which the caller must not change, or None."""
        if object_id is None:
            return None
        for layer in reversed(self._layers):
            if object_id in layer:
                return layer[object_id]
        return self._objects.get(object_id)

    def find(self, kind: str, object_id: str | None) -> Object | None:
        """Returns the object if it exists and is of this kind."""
        obj = self.get(object_id)
        return obj if obj is not None and obj["object"] == kind else None

    def each(self, kind: str) -> Iterator[Object]:
        """Yields the objects of a kind, oldest first."""
        known = self._ids.get(kind, {})
        for object_id in list(known):
            obj = self.get(object_id)
            if obj is not None:
                yield obj
        fresh = {i: None for layer in self._layers for i, obj in layer.items() if obj and i not in known}
        for object_id in fresh:
            obj = self.get(object_id)
            if obj is not None and obj["object"] == kind:
                yield obj

    # Writing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Apply all changes made inside, or none. An exception with `keeps_changes` still applies them."""
        self._layers.append({})
        try:
            yield
        except Exception as error:
            layer = self._layers.pop()
            if getattr(error, "keeps_changes", False):
                self._apply(layer)
            raise
        self._apply(self._layers.pop())

    @contextmanager
    def scratch(self) -> Iterator[None]:
        """Run the code inside and forget every change it made."""
        self._layers.append({})
        try:
            yield
        finally:
            self._layers.pop()

    def add(self, obj: Object) -> Object:
        """Add a new object and return it; it may be changed until the transaction ends."""
        self._top()[obj["id"]] = obj
        return obj

    def edit(self, object_id: str) -> Object:
        """Returns a copy of the object that may be changed until the transaction ends."""
        top = self._top()
        current = top.get(object_id)
        if current is None:
            found = self.get(object_id)
            if found is None:
                raise KeyError(object_id)
            current = top[object_id] = clone(found)
        return current

    def remove(self, object_id: str) -> None:
        """Delete the object."""
        self._top()[object_id] = None

    def _top(self) -> dict[str, Object | None]:
        if not self._layers:
            raise RuntimeError("objects change only inside a transaction")
        return self._layers[-1]

    def _apply(self, layer: dict[str, Object | None]) -> None:
        if self._layers:
            self._layers[-1].update(layer)
            return
        if not layer or self._connection is None:
            return
        self._connection.execute("BEGIN")
        for object_id, obj in layer.items():
            if obj is None:
                self._connection.execute("DELETE FROM object WHERE id = ?", (object_id,))
            else:
                body = json.dumps(obj, separators=(",", ":"))
                self._connection.execute(UPSERT, (object_id, obj["object"], body))
        self._connection.execute("COMMIT")
        for object_id, obj in layer.items():
            if obj is not None:
                self._objects[object_id] = obj
                self._ids.setdefault(obj["object"], {})[object_id] = None
            elif (old := self._objects.pop(object_id, None)) is not None:
                self._ids[old["object"]].pop(object_id, None)
        changed = [obj for obj in layer.values() if obj is not None]
        for listener in self._listeners:
            listener(changed)


store = Store()
