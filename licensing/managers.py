from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import OuterRef, Q, Value
from django.db.models.functions import Coalesce, JSONObject

from accounts.managers import OwnedQuerySet

if TYPE_CHECKING:
    pass


class LicenseQuerySet(OwnedQuerySet):
    """Licenses by key, by what is due, and with all that validation needs."""

    def with_key(self, key_hash: bytes) -> Self:
        return self.filter(key_hash=key_hash)

    def for_validation(self) -> Self:
        """Policy, organization's clock, features and activations in the same query: validate must be fast."""
        from licensing.models import Activation, LicenseFeature

        features = LicenseFeature.objects.filter(license=OuterRef("pk")).order_by("id")
        activations = Activation.objects.filter(license=OuterRef("pk"))
        return self.select_related("policy", "organization").annotate(
            feature_rows=ArraySubquery(
                features.values(row=JSONObject(slug="slug", action="action", limit="limit", used="used"))
            ),
            heartbeats=ArraySubquery(
                activations.values(row=JSONObject(fingerprint="fingerprint", at="last_heartbeat_at"))
            ),
        )

    def due(self, now: datetime) -> Self:
        """Those whose dates have passed by their organization's clock while the stored status is the earlier one."""
        local_now = Coalesce("organization__rehearsal_now", Value(now))
        suspends = Q(status="active", suspends_at__lte=local_now)
        expires = Q(status__in=["active", "suspended"], expires_at__lte=local_now)
        return self.filter(suspends | expires)


LicenseManager = models.Manager.from_queryset(LicenseQuerySet)
