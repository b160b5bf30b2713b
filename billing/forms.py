from django import forms
from django.utils.translation import gettext_lazy as _


class ConfirmForm(forms.Form):
    """What the buyer saw: the time of the preview and the amount on the button."""

    effective_at = forms.DateTimeField(widget=forms.HiddenInput)
    amount_due = forms.IntegerField(widget=forms.HiddenInput, min_value=0)


class CheckoutForm(forms.Form):
    promotion_code = forms.CharField(
        label=_("Promotion code"),
        max_length=100,
        required=False,
        help_text=_("Optional. We check it before you pay."),
    )


class CancelForm(forms.Form):
    reason = forms.CharField(
        label=_("What made you decide?"),
        max_length=300,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("We read every answer."),
    )
