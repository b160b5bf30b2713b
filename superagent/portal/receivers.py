"""What the portal does when the catalog changes."""

from typing import Any

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from billing.models import Plan, PlanAllowance, Price, Product
from billing.signals import catalog_changed
from licensing.models import Policy, PolicyFeature
from metering.models import Meter
from superagent.portal import public_pages

CATALOG = frozenset({Meter, Product, Plan, PlanAllowance, Price, Policy, PolicyFeature})


@receiver([post_save, post_delete])
def empty_public_pages_of_catalog(sender: Any, **_: Any) -> None:
    if sender in CATALOG:
        public_pages.empty()


@receiver(catalog_changed)
def empty_public_pages(**_: Any) -> None:
    public_pages.empty()
