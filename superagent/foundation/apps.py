from django.apps import AppConfig


class FoundationConfig(AppConfig):
    """The lowest layer: what every app uses and what imports no app."""

    name = "superagent.foundation"
    label = "foundation"

    def ready(self) -> None:
        from superagent.foundation import receivers  # noqa: F401 - importing registers them
