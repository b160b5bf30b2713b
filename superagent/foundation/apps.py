from django.apps import AppConfig


class FoundationConfig(AppConfig):
    """The lowest floor: what every app stands on and what knows no app."""

    name = "superagent.foundation"
    label = "foundation"
