from datetime import date

from django import forms
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey
from metering.analytics import ranges

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SINCE = (("24h", _("24 hours")), ("7d", _("7 days")), ("30d", _("30 days")), ("all", _("All that is kept")))
STATUSES = (
    ("", _("All")),
    ("2xx", _("2xx success")),
    ("4xx", _("4xx refused")),
    ("5xx", _("5xx failed")),
    ("failed", _("All failed")),
)


class OwnDays(forms.Form):
    """Days of the reader's own choice, both included, in their time zone."""

    start = forms.DateField(
        label=_("From"), widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    )
    end = forms.DateField(label=_("To"), widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}))

    def __init__(self, *args, today: date, **kwargs):
        super().__init__(*args, **kwargs)
        self.today = today
        for field in self.fields.values():
            field.widget.attrs |= {"max": today.isoformat(), "min": ranges.FIRST_DAY.isoformat()}

    def clean(self):
        cleaned = super().clean() or {}
        first_day = date_format(ranges.FIRST_DAY, "M j, Y")
        for name in ("start", "end"):
            value = cleaned.get(name)
            if value and value > self.today:
                self.add_error(name, _("Choose a day up to today."))
            elif value and value < ranges.FIRST_DAY:
                self.add_error(name, _("Choose a day from %(day)s on.") % {"day": first_day})
        if not self.errors:
            start, end = cleaned["start"], cleaned["end"]
            if start > end:
                self.add_error("end", _("Choose a day that is not before the first."))
            elif (end - start).days >= ranges.LONGEST_DAYS:
                self.add_error("end", _("Choose at most %(days)d days.") % {"days": ranges.LONGEST_DAYS})
        return cleaned


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
