"""Fencing tokens: of several fetches of one object only the newest is applied, whatever the order of arrival.

Take a token, fetch the object, then ask in the transaction that applies it: a fetch whose token is older than the last
one that was accepted is stale. Take the token before the fetch; taken after it, stale results win races.
"""

from django.db import connection


def next_token() -> int:
    """The next token; take it before the fetch."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('billing_fence_number')")
        return int(cursor.fetchone()[0])


def accept(object_id: str, token: int) -> bool:
    """May the fetch with `token` be applied? Call it in the transaction that applies it; locks the object's fence."""
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
