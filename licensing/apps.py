from django.apps import AppConfig


class LicensingConfig(AppConfig):
    name = "licensing"

    def ready(self) -> None:
        from licensing import checks, outbox_handlers, receivers  # noqa: F401 - registering is what they are imported for
