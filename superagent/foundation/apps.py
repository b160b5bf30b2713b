from django.apps import AppConfig


class FoundationConfig(AppConfig):
    """The lowest floor: what every app stands on and what knows no app."""

    name = "superagent.foundation"
    label = "foundation"

    def ready(self) -> None:
        from superagent.foundation import receivers  # noqa: F401 - importing registers them
