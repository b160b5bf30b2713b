from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing import mirror, receivers

        mirror.prepare()
        receivers.connect()
