import time

from django.core.management.base import BaseCommand

from metering.request_path import shipping


class Command(BaseCommand):
    help = "Bring the requests in this host's spool into PostgreSQL, each exactly once."

    def add_arguments(self, parser):
        parser.add_argument("--every", type=float, metavar="SECONDS", help="Go on until stopped.")

    def handle(self, *, every, **options):
        while True:
            shipped = shipping.ship_all()
            if shipped or every is None:
                self.stdout.write(f"{shipped} requests shipped")
            if every is None:
                return
            time.sleep(every)
