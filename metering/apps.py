from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "metering"

    def ready(self) -> None:
        from metering import receivers, schema  # noqa: F401 - the schema registers itself

        receivers.connect()
