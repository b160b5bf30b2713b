from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.apps import apps
from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce, JSONObject, Least

from accounts.managers import OwnedQuerySet
from accounts.models import Organization

if TYPE_CHECKING:
    from licensing.models import License


DUE_AT = Case(
    When(status="active", then=Least("suspends_at", "expires_at")),
    When(status="suspended", suspension_reason="payment", then=F("expires_at")),
)
"""When a license's dates change its stored status; NULL is never. The index `license_due` is on this expression, which
also gives the planner statistics of it: most of the dates themselves have passed."""


class LicenseQuerySet(OwnedQuerySet):
    """Licenses by key, by due date, and with the rows that validation needs."""

    def with_key(self, key_hash: bytes) -> Self:
        return self.filter(key_hash=key_hash)

    def with_previous_key(self, key_hash: bytes, now: datetime) -> Self:
        """Returns licenses by a replaced key that still works, by the organization's clock."""
        local_now = Coalesce("organization__test_clock_time", Value(now))
        return self.filter(previous_key_hash=key_hash, previous_key_works_until__gt=local_now)

    def for_validation(self, fingerprint: str | None = None) -> Self:
        """Adds policy, organization, features and the server's activation, in one query."""
        features = (
            apps.get_model("licensing", "LicenseFeature")
            .objects.filter(license=OuterRef("pk"))
            .order_by("id")
        )
        found = self.select_related("policy", "organization").annotate(
            feature_rows=ArraySubquery(
                features.values(row=JSONObject(slug="slug", action="action", limit="limit", used="used"))
            )
        )
        if fingerprint is None:
            return found
        server = apps.get_model("licensing", "Activation").objects.filter(
            license=OuterRef("pk"), fingerprint=fingerprint
        )
        return found.annotate(server_seen_at=Subquery(server.values("last_heartbeat_at")))

    def with_status(self, now: datetime) -> Self:
        """Annotate `status_now`: `License.status_at` in SQL, each license by its organization's clock."""
        local_now = Coalesce("organization__test_clock_time", Value(now))
        return self.annotate(
            status_now=Case(
                When(status__in=["revoked", "pending", "expired"], then=F("status")),
                When(suspension_reason="manual", then=Value("suspended")),
                When(expires_at__lte=local_now, then=Value("expired")),
                When(suspends_at__lte=local_now, then=Value("suspended")),
                default=F("status"),
            )
        )

    def due(self, now: datetime) -> Self:
        """Returns licenses whose dates have changed the stored status, of organizations without a test clock.

        Uses the index `license_due`, because a job runs it all day.
        """
        on_test_clock = Organization.objects.filter(
            pk=OuterRef("organization"), test_clock_time__isnull=False
        )
        return self.alias(due_at=DUE_AT).filter(~Exists(on_test_clock), due_at__lte=now)

    def due_on_test_clocks(self) -> Self:
        """As `due`, of the few organizations with a test clock."""
        on_test_clock = self.alias(due_at=DUE_AT).filter(organization__test_clock_time__isnull=False)
        return on_test_clock.filter(due_at__lte=F("organization__test_clock_time"))

    def late(self, since: datetime) -> Self:
        """Returns licenses stored as active that have been due since before `since`, with `due_since`. By the index."""
        return self.due(since).filter(status="active").annotate(due_since=DUE_AT)


LicenseManager = models.Manager.from_queryset(LicenseQuerySet)


class ActivationQuerySet(OwnedQuerySet):
    def count_up_to(self, most: int) -> int:
        """Returns the number of rows, at most `most`. Unsorted, so that no more rows are read."""
        return self.order_by()[:most].count()

    def alive(self, license_: "License", now: datetime) -> Self:
        """Returns activations of `license_` with a recent heartbeat; all, if the license requires none."""
        if license_.heartbeat_hours is None:
            return self
        return self.filter(last_heartbeat_at__gte=now - timedelta(hours=license_.heartbeat_hours))

    def dead(self, license_: "License", now: datetime) -> Self:
        """Returns activations of `license_` that missed their heartbeats."""
        if license_.heartbeat_hours is None:
            return self.none()
        return self.filter(last_heartbeat_at__lt=now - timedelta(hours=license_.heartbeat_hours))


ActivationManager = models.Manager.from_queryset(ActivationQuerySet)
