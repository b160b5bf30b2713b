"""The abstract base of every table."""

from django.db import models

from superagent.foundation.identifiers import uuid7


class Record(models.Model):
    """A row with a UUIDv7 primary key: ordering by `id` is ordering by time of creation."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True
        ordering = ["-id"]
