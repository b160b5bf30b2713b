from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "metering"

    def ready(self) -> None:
        from accounts import key_traffic
        from metering import receivers, schema  # noqa: F401 - importing registers them
        from metering.analytics import request_log

        key_traffic.last_day.provide(request_log.of_last_day)
