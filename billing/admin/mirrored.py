"""dj-stripe's mirror, read-only. Its own admin mixins are not used: they print the secret key and let anyone cancel."""

import json

from django.apps import apps
from django.contrib import admin
from django.db import models
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from billing.stripe.mirror import SERVICES
from superagent.foundation.admin import LargeList

SHOWN = ["id", "livemode", "created", "djstripe_created", "djstripe_updated"]


class MirrorAdmin(LargeList):
    """A Stripe object as last fetched. For looking up only: decisions use our own projection."""

    list_display = ["id", "livemode", "created", "djstripe_updated"]
    search_fields = ["=id"]
    search_help_text = _("The exact Stripe id.")
    ordering = ["-djstripe_id"]
    fields = [*SHOWN, "as_stripe_said"]
    readonly_fields = [*SHOWN, "as_stripe_said"]

    @admin.display(description=_("as returned by Stripe"))
    def as_stripe_said(self, mirrored: models.Model) -> SafeString:
        return format_html(
            '<pre tabindex="0">{}</pre>',
            json.dumps(getattr(mirrored, "stripe_data", {}), indent=2, sort_keys=True),
        )


def register() -> None:
    """Replaces dj-stripe's own pages, which print the secret key and let anyone cancel."""
    for name in SERVICES:
        admin.site.register(apps.get_model("djstripe", name), MirrorAdmin)
