"""The meters that the product is shipped with."""

import pytest

from metering import meters
from metering.models import REQUESTS, Meter
from superagent.foundation import tenancy

pytestmark = pytest.mark.django_db


def test_missing_meters_are_written_and_what_staff_changed_stays() -> None:
    with tenancy.system("test"):
        Meter.objects.filter(slug="storage_mb_hours").delete()
        Meter.objects.filter(slug=REQUESTS).update(name="Calls")
        meters.seed()
        names = dict(Meter.objects.values_list("slug", "name"))
    assert names == {REQUESTS: "Calls", "ai_tokens": "AI tokens", "storage_mb_hours": "Storage"}
