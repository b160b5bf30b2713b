from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from accounts import charges
        from accounts import customers as customer_port
        from billing import outbox_handlers, receivers, webhook_handlers  # noqa: F401 - importing registers them
        from billing.customers import stripe_customers
        from billing.selling import running_charges
        from billing.stripe import mirror

        customer_port.provide(stripe_customers.stripe_id)
        charges.provide(
            running=running_charges.running,
            end=running_charges.end_all,
            unbilled=running_charges.unbilled,
            paying=running_charges.paying,
        )
        mirror.prepare()
        receivers.connect()
