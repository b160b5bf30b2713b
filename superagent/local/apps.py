from django.apps import AppConfig


class LocalConfig(AppConfig):
    """The commands of one machine: `dev` and `seed_demo`; it has no models."""

    name = "superagent.local"
