from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce, JSONObject

from accounts.managers import OwnedQuerySet

if TYPE_CHECKING:
    from licensing.models import License


class LicenseQuerySet(OwnedQuerySet):
    """Licenses by key, by what is due, and with all that validation needs."""

    def with_key(self, key_hash: bytes) -> Self:
        return self.filter(key_hash=key_hash)

    def for_validation(self, fingerprint: str | None = None) -> Self:
        """Policy, organization's clock, features and the one server's activation, in one query."""
        from licensing.models import Activation, LicenseFeature

        features = LicenseFeature.objects.filter(license=OuterRef("pk")).order_by("id")
        found = self.select_related("policy", "organization").annotate(
            feature_rows=ArraySubquery(
                features.values(row=JSONObject(slug="slug", action="action", limit="limit", used="used"))
            )
        )
        if fingerprint is None:
            return found
        server = Activation.objects.filter(license=OuterRef("pk"), fingerprint=fingerprint)
        return found.annotate(server_seen_at=Subquery(server.values("last_heartbeat_at")))

    def due(self, now: datetime) -> Self:
        """Those whose dates have passed by their organization's clock while the stored status is the earlier one."""
        local_now = Coalesce("organization__rehearsal_now", Value(now))
        suspends = Q(status="active", suspends_at__lte=local_now)
        expires = Q(status__in=["active", "suspended"], expires_at__lte=local_now)
        return self.filter(suspends | expires)


LicenseManager = models.Manager.from_queryset(LicenseQuerySet)


class ActivationQuerySet(OwnedQuerySet):
    def count_up_to(self, most: int) -> int:
        """Reads no more rows than that, so they must not be sorted first."""
        return self.order_by()[:most].count()

    def alive(self, license_: "License", now: datetime) -> Self:
        """Those heard of within the heartbeat of `license_`, which they belong to; without one, all."""
        if license_.heartbeat_hours is None:
            return self
        return self.filter(last_heartbeat_at__gte=now - timedelta(hours=license_.heartbeat_hours))

    def dead(self, license_: "License", now: datetime) -> Self:
        """The others."""
        if license_.heartbeat_hours is None:
            return self.none()
        return self.filter(last_heartbeat_at__lt=now - timedelta(hours=license_.heartbeat_hours))


ActivationManager = models.Manager.from_queryset(ActivationQuerySet)
