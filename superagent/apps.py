from django.apps import AppConfig


class SuperagentConfig(AppConfig):
    """The product itself: composition and management commands; it has no models."""

    name = "superagent"
    verbose_name = "SuperAgent"
