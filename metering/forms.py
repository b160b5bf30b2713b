from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SINCE = (("24h", _("24 hours")), ("7d", _("7 days")), ("30d", _("30 days")), ("all", _("All that is kept")))
STATUSES = (
    ("", _("All")),
    ("2xx", _("2xx success")),
    ("4xx", _("4xx refused")),
    ("5xx", _("5xx failed")),
    ("failed", _("All failed")),
)


class RequestFilters(forms.Form):
    """The filters of the request log; they live in the address."""

    since = forms.ChoiceField(label=_("Time"), choices=SINCE, required=False)
    status = forms.ChoiceField(label=_("Status"), choices=STATUSES, required=False)
    method = forms.ChoiceField(
        label=_("Method"), choices=[("", _("All")), *((each, each) for each in METHODS)], required=False
    )
    endpoint = forms.CharField(label=_("Endpoint"), max_length=200, required=False)
    key = forms.ModelChoiceField(
        label=_("API key"), queryset=ApiKey.objects.none(), required=False, empty_label=_("All")
    )

    def __init__(self, *args, organization, **kwargs):
        super().__init__(*args, **kwargs)
        keys = self.fields["key"]
        assert isinstance(keys, forms.ModelChoiceField)
        keys.queryset = ApiKey.objects.visible_to(organization).order_by("name")
