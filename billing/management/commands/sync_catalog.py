from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing import catalog, endpoints, gateway, handlers, hosted_portal
from superagent.foundation import tenancy

assert handlers  # the types of events that the endpoint asks for


class Command(BaseCommand):
    help = (
        "Writes the catalog of the first day into the database (once; staff's changes stay) and brings Stripe in step: "
        "products, prices, the webhook endpoint, the customer portal. Safe to repeat."
    )

    def add_arguments(self, parser):
        parser.add_argument("--local", action="store_true", help="Only the database: do not call Stripe.")

    def handle(self, *args, **options):
        with tenancy.system("sync the catalog"):
            added = catalog.seed()
            waiting = catalog.give_everyone_a_plan(now=timezone.now())
            self.stdout.write(f"catalog: {added} products added, {waiting} organizations given a plan")
            if options["local"]:
                return
            try:
                synced = catalog.push()
                endpoint = endpoints.register()
                hosted_portal.configure()
            except (gateway.Unavailable, gateway.Rejected) as error:
                raise CommandError(f"Stripe: {error}. The database is in order; run this again.") from error
        self.stdout.write(
            f"stripe: {synced.products} products and {synced.prices} prices in step, events to {endpoint.url}"
        )
