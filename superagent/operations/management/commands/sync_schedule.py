from django.core.management.base import BaseCommand

from superagent import schedule
from superagent.foundation import tenancy


class Command(BaseCommand):
    help = "Write new entries of superagent/schedule.py into the database; staff's edits survive."

    def handle(self, *args: object, **options: object) -> None:
        with tenancy.system("schedule"):
            added, disabled = schedule.seed()
        self.stdout.write(f"schedule: {added} added, {disabled} disabled")
