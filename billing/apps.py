from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from accounts import customers as customer_port
        from billing import customers, mirror, receivers

        customer_port.provide(customers.stripe_id)
        mirror.prepare()
        receivers.connect()
