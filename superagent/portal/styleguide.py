"""Sample data for templates/styleguide.html, the living catalogue of components (served only under DEBUG)."""

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from django import forms
from django.utils import timezone

from superagent.foundation import charts
from superagent.foundation.templatetags.iconset import icons

STATUSES = (
    "active", "trial", "pending", "past_due", "paused", "suspended", "canceling", "canceled", "expired", "failed",
    "paid", "open", "refunded", "revoked",
)  # fmt: skip


class SampleForm(forms.Form):
    """Every kind of field once."""

    name = forms.CharField(label="Key name", max_length=100, help_text="Seen by your team only.")
    email = forms.EmailField(label="Billing email")
    secret = forms.CharField(label="Password", widget=forms.PasswordInput, min_length=10)
    expires = forms.ChoiceField(
        label="Expires after", choices=[("30", "30 days"), ("90", "90 days"), ("365", "1 year")], initial="90"
    )
    note = forms.CharField(label="Note", widget=forms.Textarea, required=False)
    scopes = forms.MultipleChoiceField(
        label="Scopes",
        choices=[
            ("usage:write", "Report usage"),
            ("usage:read", "Read usage"),
            ("quotas:read", "Read quotas"),
        ],
        widget=forms.CheckboxSelectMultiple,
        help_text="Give a key as little as it needs.",
    )
    alerts = forms.BooleanField(
        label="Warn me at 80 %", required=False, help_text="One email per meter and period."
    )


def context() -> dict[str, Any]:
    bad = SampleForm({"email": "ada@", "name": "", "secret": "short", "expires": "90"}, auto_id="bad_%s")
    bad.is_valid()
    now = timezone.now()
    return {
        "statuses": STATUSES,
        "icons": sorted(icons()),
        "form": SampleForm(),
        "bad_form": bad,
        "bars": _bars(),
        "spark": charts.sparkline([4, 6, 5, 9, 8, 12, 11, 15, 14, 18], "Requests of the last ten days"),
        "now": now,
        "minutes_ago": now - timedelta(minutes=12),
        "days_ago": now - timedelta(days=30),
        "resets_at": now + timedelta(days=11),
        "rate": Decimal("0.05"),
        "rows": _rows(),
        "steps": [
            {"title": "Verify your email", "text": "ada@example.com", "is_done": True},
            {
                "title": "Create an API key",
                "text": "Every call needs one.",
                "href": "#",
                "action": "Create key",
            },
            {
                "title": "Send the first request",
                "text": "Copy the command and run it.",
                "href": "#",
                "action": "Show",
            },
        ],
        "facts": [
            ("Plan", "Pro, monthly"),
            ("Renews", "Dec 20, 2026, 09:28 UTC"),
            ("Card", "Visa •••• 4242"),
        ],
        "amounts": [
            ("Pro, 1 month", "$29.00"),
            ("12,400 requests over the allowance", "$6.20"),
            ("Tax", "$0.00"),
        ],
        "code": 'curl https://api.example.com/api/v1/usage/events \\\n  -H "Authorization: Bearer $KEY"',
    }


def _axes(title: str) -> charts.Axes:
    buckets = tuple(
        charts.Bucket(f"{number} Sep", f"{number} September 2026", is_running=number == 30)
        for number in range(1, 31)
    )
    return charts.Axes(
        title=title,
        description="Thirty days in September, one bar for each day; the last day is still running.",
        buckets=buckets,
        bucket_heading="Day",
    )


def _bars() -> charts.Drawing:
    days = range(30)
    series = [
        charts.Series("GET /models", tuple(900 + day * 31 % 17 * 40 for day in days)),
        charts.Series("POST /chat", tuple(400 + day * 13 % 11 * 50 for day in days)),
        charts.Series("POST /usage", tuple(200 + day * 7 % 13 * 30 for day in days)),
    ]
    previous = [1500 + day * 11 % 19 * 25 for day in days]
    return charts.bars(_axes("API requests by day and endpoint"), series, previous=previous)


def _rows() -> list[SimpleNamespace]:
    names = ("Production", "Staging", "Laptop of Ada", "Old importer")
    states = ("active", "active", "unused", "revoked")
    return [
        SimpleNamespace(
            name=name, masked=f"sa_test_{index}f3a…9c{index}d", status=state, calls=41_230 // (index + 1)
        )
        for index, (name, state) in enumerate(zip(names, states, strict=True))
    ]
