"""What staff hold stays held, whatever billing says; reinstating gives a grace."""

from datetime import timedelta

import pytest

from accounts.models import Organization, User
from licensing import licenses, moderation
from licensing.models import License
from tests.licensing.conftest import NOW, audited

DAY = timedelta(days=1)
Status = License.Status


def test_a_manual_suspension_survives_expiry_and_renewal(
    system_scope: None, make_license, organization: Organization, staff: User
) -> None:
    license_ = make_license(organization, renews_at=NOW + 30 * DAY)
    moderation.suspend(license_id=license_.pk, reason="Abuse", actor=staff, now=NOW)
    assert licenses.sync_due_statuses(now=NOW + 60 * DAY) == 0
    license_.refresh_from_db()
    assert (license_.status, license_.suspension_reason) == ("suspended", "manual")
    licenses.renew(license_id=license_.pk, renews_at=NOW + 90 * DAY, is_ending=False, now=NOW + 61 * DAY)
    license_.refresh_from_db()
    assert license_.status_at(NOW + 61 * DAY) == Status.SUSPENDED
    moderation.reinstate(license_id=license_.pk, reason="Settled", actor=staff, now=NOW + 62 * DAY)
    license_.refresh_from_db()
    assert license_.status_at(NOW + 62 * DAY) == Status.ACTIVE


@pytest.mark.parametrize("fact", ["dun", "suspend", "end", "renew"])
def test_nothing_that_billing_says_lifts_what_staff_hold(
    system_scope: None, license_: License, staff: User, fact: str
) -> None:
    moderation.suspend(license_id=license_.pk, reason="Abuse", actor=staff, now=NOW)
    at = NOW + DAY
    if fact == "dun":
        licenses.start_payment_grace(license_id=license_.pk, since=at, now=at)
    elif fact == "suspend":
        licenses.suspend_for_payment(license_id=license_.pk, now=at)
    elif fact == "end":
        licenses.end(license_id=license_.pk, at=at, now=at)
    else:
        licenses.renew(license_id=license_.pk, renews_at=at + 30 * DAY, is_ending=False, now=at)
    license_.refresh_from_db()
    assert (license_.status_at(at), license_.suspension_reason) == (Status.SUSPENDED, "manual")
    assert license_.note == "Abuse"


def test_reinstating_one_that_ended_meanwhile_shows_it_ended(
    system_scope: None, license_: License, staff: User
) -> None:
    moderation.suspend(license_id=license_.pk, reason="Abuse", actor=staff, now=NOW)
    licenses.end(license_id=license_.pk, at=NOW + DAY, now=NOW + DAY)
    moderation.reinstate(license_id=license_.pk, reason="Settled", actor=staff, now=NOW + 2 * DAY)
    license_.refresh_from_db()
    assert (license_.status, license_.suspension_reason) == ("expired", "")
    assert audited(license_)[-1] == "license.hold_lifted"


def test_reinstating_works_when_the_job_has_not_stored_the_suspension_yet(
    system_scope: None, license_: License, staff: User
) -> None:
    licenses.start_payment_grace(license_id=license_.pk, since=NOW, now=NOW)
    moderation.reinstate(license_id=license_.pk, reason="A courtesy", actor=staff, now=NOW + 8 * DAY)
    license_.refresh_from_db()
    assert license_.status_at(NOW + 14 * DAY) == Status.ACTIVE
    assert license_.status_at(NOW + 15 * DAY) == Status.SUSPENDED, "a courtesy is no gift for ever"


def test_a_grace_that_staff_gave_outlasts_the_next_failed_attempt(
    system_scope: None, license_: License, staff: User
) -> None:
    licenses.start_payment_grace(license_id=license_.pk, since=NOW, now=NOW)
    moderation.reinstate(license_id=license_.pk, reason="A courtesy", actor=staff, now=NOW + 8 * DAY)
    licenses.start_payment_grace(license_id=license_.pk, since=NOW, now=NOW + 9 * DAY)
    license_.refresh_from_db()
    assert license_.status_at(NOW + 14 * DAY) == Status.ACTIVE
