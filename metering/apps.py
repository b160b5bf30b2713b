from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "metering"

    def ready(self) -> None:
        from accounts import key_traffic
        from metering import receivers, requests, schema  # noqa: F401 - the schema registers itself

        receivers.connect()
        key_traffic.provide(requests.of_last_day)
