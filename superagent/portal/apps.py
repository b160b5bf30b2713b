from django.apps import AppConfig


class PortalConfig(AppConfig):
    """The pages that compose all apps; it has no models."""

    name = "superagent.portal"

    def ready(self) -> None:
        from accounts import offers
        from superagent.portal import receivers, sign_up_offers  # noqa: F401  # receivers connect themselves

        offers.find.provide(sign_up_offers.chosen_offer)
