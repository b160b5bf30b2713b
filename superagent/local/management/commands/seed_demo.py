from datetime import UTC, datetime

from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import autodiscover_modules

from superagent.foundation import tenancy
from superagent.local import demo


class Command(BaseCommand):
    help = (
        "Makes a demo customer on Pro with use and a license, and a staff user, and prints how to log in. Safe to "
        "repeat; refused in production."
    )

    def handle(self, *args, **options):
        autodiscover_modules("tasks")  # the outbox's handlers are there
        try:
            with tenancy.isolated():
                for step in demo.seed(now=datetime.now(UTC)):
                    self.stdout.write(f"demo: {step}")
        except demo.NotADemoInstallation as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"customer: {demo.CUSTOMER.email} {demo.CUSTOMER.password}")
        self.stdout.write(f"staff: {demo.STAFF.email} {demo.STAFF.password}")
