from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from accounts import charges, customers
        from billing import outbox_handlers, receivers, webhook_handlers  # noqa: F401 - importing registers them
        from billing.customers import stripe_customers
        from billing.selling import running_charges
        from billing.stripe import mirror

        customers.id_of.provide(stripe_customers.stripe_id)
        charges.running.provide(running_charges.running)
        charges.paying.provide(running_charges.paying)
        charges.unbilled.provide(running_charges.unbilled)
        charges.end_all.provide(running_charges.end_all)
        mirror.prepare()
