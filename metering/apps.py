from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "metering"

    def ready(self) -> None:
        from accounts import key_traffic
        from metering import receivers, schema  # noqa: F401 - the schema registers itself
        from metering.analytics import request_log

        receivers.connect()
        key_traffic.provide(request_log.of_last_day)
