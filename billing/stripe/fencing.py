"""Fencing tokens: of concurrent fetches of an object, an older one is never applied after a newer one.

Take a token, fetch the object, then call `accept` in the transaction that applies it: a fetch whose token is older
than the last accepted one is stale. Take the token before the fetch; otherwise stale results win races.
"""

from django.db import connection


def next_token() -> int:
    """Returns the next token. Take it before the fetch."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('billing_fence_number')")
        return int(cursor.fetchone()[0])


def accept(object_id: str, token: int) -> bool:
    """Returns True if the fetch may be applied. Call it in the transaction that applies it; locks the object's row."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_objectfence AS fence (object_id, number) VALUES (%s, %s)
            ON CONFLICT (object_id) DO UPDATE SET number = excluded.number WHERE fence.number < excluded.number
            RETURNING 1
            """,
            [object_id, token],
        )
        return cursor.fetchone() is not None
