from typing import cast

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.models import Order
from superagent.foundation.identifiers import uuid7


class BuyForm(forms.Form):
    """A purchase. `max_total` is the price that was shown: more is never charged.

    `visit` identifies the page: submitting it twice places one order.
    """

    payment = forms.ChoiceField(label=_("Pay with"), widget=forms.RadioSelect)
    max_total = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
    visit = forms.UUIDField(widget=forms.HiddenInput, initial=uuid7)

    def __init__(self, *args, card: str = "", **kwargs):
        super().__init__(*args, **kwargs)
        saved = [(Order.Payment.SAVED_CARD.value, card)] if card else []
        checkout = (Order.Payment.CHECKOUT.value, _("A card, on Stripe's payment page"))
        payment = cast(forms.ChoiceField, self.fields["payment"])
        payment.choices = [*saved, checkout]
        payment.initial = saved[0][0] if saved else checkout[0]


class ModerationForm(forms.Form):
    """The reason of a staff action, shown to the customer and kept in the audit trail."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("The customer sees it, and it is kept in the audit trail."),
    )


class ServerForm(forms.Form):
    activation = forms.UUIDField()
