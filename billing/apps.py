from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from accounts import charges
        from accounts import customers as customer_port
        from billing import customers, mirror, receivers, running_charges

        customer_port.provide(customers.stripe_id)
        charges.provide(
            running=running_charges.running,
            end=running_charges.end_all,
            unbilled=running_charges.unbilled,
            paying=running_charges.paying,
        )
        mirror.prepare()
        receivers.connect()
