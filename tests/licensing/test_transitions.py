"""The job stores the status that the dates give, tells of it, and is an alarm when it cannot."""

from datetime import timedelta

import structlog
from django.db import OperationalError, connection
from django.utils import timezone

from accounts.models import Organization
from licensing import licenses
from superagent.operations import backlogs
from tests.licensing.conftest import NOW, audited, mails

DAY = timedelta(days=1)


def test_what_the_dates_do_is_told_by_the_job(
    system_scope: None, make_license, organization: Organization
) -> None:
    license_ = make_license(organization, renews_at=NOW)
    licenses.sync_due_statuses(now=NOW + 4 * DAY)
    licenses.sync_due_statuses(now=NOW + 4 * DAY)
    assert audited(license_) == ["license.issued", "license.expired"]
    assert mails()[-1] == "Your NextPanel Professional license has ended"


def test_a_status_that_cannot_be_stored_is_an_alarm_until_it_is(
    system_scope: None, make_license, organization: Organization
) -> None:
    now = timezone.now()
    license_ = make_license(organization, renews_at=now - 30 * DAY)

    def refuse(execute, sql, *more):
        if 'UPDATE "licensing_license"' in sql:
            raise OperationalError("the disk is full")
        return execute(sql, *more)

    with connection.execute_wrapper(refuse), structlog.testing.capture_logs() as logs:
        assert licenses.sync_due_statuses(now=now) == 0
    [told] = [each for each in logs if each["event"] == "license_status_not_synced"]
    assert (told["license"], told["alarm"], told["log_level"]) == (str(license_.pk), True, "error")
    [late] = backlogs.late()
    assert (late.queue.name, late.count, late.oldest_at) == ("license_statuses_late", 1, license_.expires_at)
    assert licenses.sync_due_statuses(now=now) == 1
    assert backlogs.late() == []
