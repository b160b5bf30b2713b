"""The fence: of several fetches of one object only the newest is applied, whatever the order of arrival.

Draw a number, fetch the object, then ask in the transaction that applies it: who drew earlier and comes later is too
late. The number must be drawn before the fetch; drawn after it, stale results win races.
"""

from django.db import connection


def draw() -> int:
    """The next number; draw it before the fetch."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('billing_fence_number')")
        return int(cursor.fetchone()[0])


def advance(object_id: str, number: int) -> bool:
    """May the fetch with `number` be applied? Call it in the transaction that applies it; locks the object's fence."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_objectfence AS fence (object_id, number) VALUES (%s, %s)
            ON CONFLICT (object_id) DO UPDATE SET number = excluded.number WHERE fence.number < excluded.number
            RETURNING 1
            """,
            [object_id, number],
        )
        return cursor.fetchone() is not None
