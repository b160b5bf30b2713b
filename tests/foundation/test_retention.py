"""Rows past their retention go in batches, the first ones first, until none are left."""

from itertools import chain, repeat
from types import SimpleNamespace

import pytest

from superagent.foundation import retention, tenancy
from superagent.foundation.models import OutboxMessage
from superagent.foundation.retention import BATCH

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows() -> list[OutboxMessage]:
    with tenancy.system("test"):
        made = [OutboxMessage(topic="test", payload={"n": n}) for n in range(5)]
        return OutboxMessage.objects.bulk_create(made)


def test_all_batches_are_deleted(rows: list[OutboxMessage], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    with tenancy.system("test"):
        kept = OutboxMessage.objects.create(topic="other", payload={})
        old = OutboxMessage.objects.filter(topic="test").order_by("id")
        assert retention.delete(old) == 5
        assert retention.delete(old) == 0
        assert list(OutboxMessage.objects.values_list("pk", flat=True)) == [kept.pk]


def test_rows_are_emptied_until_none_match(
    rows: list[OutboxMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    with tenancy.system("test"):
        full = OutboxMessage.objects.exclude(payload={}).order_by("id")
        assert retention.update(full, payload={}) == 5
        assert not full.exists() and OutboxMessage.objects.count() == 5


def test_the_first_rows_go_first_when_time_runs_out(
    rows: list[OutboxMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BATCH >= 100
    monkeypatch.setattr(retention, "BATCH", 2)
    moments = chain([0.0, 0.0], repeat(retention.LONGEST_SECONDS + 1.0))
    monkeypatch.setattr(retention, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    with tenancy.system("test"):
        assert retention.delete(OutboxMessage.objects.order_by("id")) == 2
        assert list(OutboxMessage.objects.order_by("id").values_list("pk", flat=True)) == [
            row.pk for row in rows[2:]
        ]
