"""What staff do about use that could not be recorded."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, Organization, User
from metering.models import QuarantinedLine, Quota, RequestRecord, SpoolCheckpoint, UsageEvent
from metering.request_path import quarantine
from metering.usage import ingest
from metering.usage.events import EventIn
from superagent.foundation import tenancy
from tests.fixtures.staff import staff_client
from tests.metering.conftest import give, terms
from tests.metering.request_path.test_shipping import line

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(system_scope: None) -> Client:
    person = User.objects.create_user(
        "staff@example.com", "correct horse battery", full_name="S", is_staff=True, is_superuser=True
    )
    return staff_client(person)


def act(staff: Client, row: Any, action: str, reason: str = "the disk was replaced") -> str:
    path = reverse(f"admin:metering_{row._meta.model_name}_changelist")
    with tenancy.isolated():
        answer = staff.post(
            path, {"action": action, "_selected_action": str(row.pk), "reason": reason}, follow=True
        )
    return answer.content.decode()


def test_a_quarantined_line_is_recorded_or_dismissed_with_a_reason(
    staff: Client, organization: Organization
) -> None:
    quarantine.keep(segment="a", offset=0, content=line(organization).strip(), reason="restored")
    quarantine.keep(segment="a", offset=1, content=b"torn\0", reason="not a line")
    good, torn = QuarantinedLine.objects.order_by("offset")
    assert "Enter a reason" in act(staff, good, "ship_again", reason="")
    assert "1 done" in act(staff, good, "ship_again")
    assert "nothing to do" in act(staff, good, "ship_again")
    assert "not a line of this version" in act(staff, torn, "ship_again")
    assert "1 done" in act(staff, torn, "dismiss")
    assert RequestRecord.objects.count() == 1
    assert set(QuarantinedLine.objects.values_list("offset", "state")) == {(0, "shipped"), (1, "dismissed")}
    trail = AuditEntry.objects.order_by("id").values_list("action", flat=True)
    assert list(trail)[-2:] == ["quarantined_line.shipped", "quarantined_line.dismissed"]
    with tenancy.isolated():
        for row in (good, torn):
            page = staff.get(reverse("admin:metering_quarantinedline_change", args=[row.pk]))
            assert page.status_code == 200


def test_a_lost_host_is_given_up(staff: Client) -> None:
    segment = SpoolCheckpoint.objects.create(segment="host-1.spool", offset=100)
    assert "1 done" in act(staff, segment, "give_up")
    segment.refresh_from_db()
    assert segment.finished_at is not None


def test_staff_take_back_what_customers_may_not(staff: Client, organization: Organization) -> None:
    now = timezone.now()
    give(organization, terms("ai_tokens", 100, rate="1"))
    event = EventIn("chat-reply-1", "ai_tokens", 50, source="house")
    ingest.record(organization=organization, events=[event], principal=None, now=now)
    row = UsageEvent.objects.get()
    assert "Enter a reason" in act(staff, row, "take_back", reason="")
    assert "1 done" in act(staff, row, "take_back")
    assert "nothing to do" in act(staff, row, "take_back")
    assert Quota.objects.get().used == 0
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.organization_id) == ("usage_event.taken_back", organization.pk)
