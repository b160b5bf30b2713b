"""The only way to write staff rights: the database refuses it anywhere else (migration 0016).

A field too many in a form or serializer, a query with a stray column, or a row saved from before rights were taken away
cannot make anybody staff.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from superagent.foundation import tenancy

_SETTING = "app.staff_rights"


@contextmanager
def opened() -> Iterator[None]:
    """Allow statements inside to write `is_staff` or `is_superuser`. The caller has checked who asks."""
    with tenancy.system("staff rights are written"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, 'written', true)", [_SETTING])
        yield
        cursor.execute("SELECT set_config(%s, '', true)", [_SETTING])  # the transaction may continue
