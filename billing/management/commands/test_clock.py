import re
from datetime import datetime, timedelta
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime

from accounts.models import Organization
from billing import test_clocks
from metering.quotas import months
from superagent.foundation import clock, retries, tenancy
from superagent.foundation.problems import Refusal


class Command(BaseCommand):
    help = "Attaches an organization to a Stripe test clock and advances it step by step. Test mode only."

    def add_arguments(self, parser):
        parser.add_argument(
            "--organization", required=True, help="Its id, or the email address that it is billed at."
        )
        parser.add_argument(
            "--advance", help="How far: 6h, 3d, 2w, 1m (months), 1y. Attaches a test clock if needed."
        )
        parser.add_argument("--to", help="Or until when: 2027-01-31T12:00:00Z.")
        parser.add_argument(
            "--stop",
            action="store_true",
            help="Delete the clock: back to real time and the free plan, with a new customer at Stripe.",
        )

    def handle(self, *args, **options):
        organization = _organization(options["organization"])
        try:
            if options["stop"]:
                test_clocks.stop(organization)
                self.stdout.write("stopped: back to real time")
                return
            test_clocks.start(organization)
            with tenancy.system("test clock"):
                organization.refresh_from_db()
            now = clock.now(organization)
            to = _target(options, now)
            self.stdout.write(f"it is {now:%Y-%m-%d %H:%M:%S} UTC for {organization}")
            if to is not None:
                test_clocks.run(organization=organization, to=to, tell=self._tell)
        except (Refusal, retries.Retryable, retries.Permanent) as error:
            raise CommandError(str(error)) from error

    def _tell(self, moment: datetime) -> None:
        self.stdout.write(f"  {moment:%Y-%m-%d %H:%M:%S} UTC")


def _organization(given: str) -> Organization:
    with tenancy.system("test clock"):
        try:
            found = Organization.objects.filter(pk=UUID(given))
        except ValueError:
            found = Organization.objects.filter(email__iexact=given)
        organizations = list(found[:2])
    if len(organizations) != 1:
        raise CommandError(f"{len(organizations)} organizations match {given}: name one by its id.")
    return organizations[0]


def _target(options: dict, now: datetime) -> datetime | None:
    if options["to"]:
        to = parse_datetime(options["to"])
        if to is None or to.tzinfo is None:
            raise CommandError("--to needs a date, a time and a zone: 2027-01-31T12:00:00Z")
        return to
    if not options["advance"]:
        return None
    match = re.fullmatch(r"(\d{1,3})([hdwmy])", options["advance"])
    if match is None:
        raise CommandError("--advance needs a number and h, d, w, m or y: 1m is a month")
    number, unit = int(match[1]), match[2]
    if unit in "my":
        return months.add(now, number * (12 if unit == "y" else 1))
    return now + timedelta(**{{"h": "hours", "d": "days", "w": "weeks"}[unit]: number})
