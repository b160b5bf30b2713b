from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.catalog import seed, sync
from billing.customers import hosted_portal
from billing.stripe import client, endpoints
from superagent.foundation import tenancy


class Command(BaseCommand):
    help = (
        "Creates the initial catalog in the database (once; changes by staff stay) and syncs Stripe: "
        "products, prices, the webhook endpoint, the customer portal. Safe to repeat."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--local", action="store_true", help="Update the database only; do not call Stripe."
        )

    def handle(self, *args, **options):
        with tenancy.system("sync the catalog"):
            added = seed.write()
            waiting = seed.give_everyone_a_plan(now=timezone.now())
            self.stdout.write(f"catalog: {added} products added, {waiting} organizations given a plan")
            if options["local"]:
                return
            try:
                synced = sync.push()
                endpoint = endpoints.register()
                hosted_portal.configure()
            except (client.Unavailable, client.Rejected) as error:
                raise CommandError(f"Stripe: {error}. The database is in order; run this again.") from error
        self.stdout.write(
            f"stripe: {synced.products} products and {synced.prices} prices in step, events to {endpoint.url}"
        )
