from django.apps import AppConfig


class LocalConfig(AppConfig):
    """The commands `dev` and `seed_demo`; no models."""

    name = "superagent.local"
