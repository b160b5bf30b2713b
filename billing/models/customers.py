from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, OrganizationOwned
from billing.models.catalog import Plan


class BillingAccount(OrganizationOwned):
    """An organization's Stripe customer and current plan."""

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, related_name="billing_account"
    )
    stripe_customer_id = models.CharField(
        _("Stripe customer"), max_length=255, unique=True, null=True, blank=True
    )
    plan = models.ForeignKey(
        Plan, null=True, on_delete=models.PROTECT, related_name="+", help_text=_("The current plan.")
    )
    payment_method_id = models.CharField(max_length=255, blank=True)
    card_brand = models.CharField(_("card"), max_length=30, blank=True)
    card_last_four = models.CharField(_("card ends with"), max_length=4, blank=True)
    card_expires = models.CharField(_("card expires"), max_length=7, blank=True, help_text=_("YYYY-MM"))
    declined_method_id = models.CharField(
        max_length=255,
        blank=True,
        db_default="",
        help_text=_("The saved card whose latest charge was declined."),
    )
    card_tried_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When a saved card was last charged, successfully or not.")
    )
    balance = models.IntegerField(
        _("balance"),
        default=0,
        help_text=_("In minor units; a negative balance is credit for the next invoice."),
    )
    currency = models.CharField(
        _("currency"), max_length=3, default="usd", db_default="usd", help_text=_("Of the balance.")
    )
    is_delinquent = models.BooleanField(_("delinquent"), default=False)
    had_trial = models.BooleanField(_("had a trial"), default=False)
    test_clock_id = models.CharField(_("test clock"), max_length=255, blank=True)
    test_clock_target = models.DateTimeField(
        _("test clock target"),
        null=True,
        blank=True,
        help_text=_("Where the test clock is being advanced to."),
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(OrganizationOwned.Meta):
        pass

    def __str__(self) -> str:
        return self.stripe_customer_id or "no Stripe customer yet"

    @property
    def credit(self) -> int:
        """Credit for the next invoices, in minor units."""
        return max(0, -self.balance)

    @property
    def card_expiry(self) -> str:
        """As it is written on the card: 12/2034."""
        year, _, month = self.card_expires.partition("-")
        return f"{month}/{year}" if month else ""

    @property
    def has_card(self) -> bool:
        return bool(self.payment_method_id)

    @property
    def is_card_declined(self) -> bool:
        """True if the bank declined the latest charge of the saved card."""
        return self.has_card and self.declined_method_id == self.payment_method_id
