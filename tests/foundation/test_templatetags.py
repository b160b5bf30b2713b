from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.template import Context, Template
from django.template.loader import get_template
from django.test import RequestFactory

from superagent.foundation.templatetags import formats, iconset, measures, statuses, ui
from superagent.portal import styleguide

NOW = datetime(2026, 11, 20, 9, 28, tzinfo=UTC)


def render(source: str, **context: Any) -> str:
    return Template("{% load ui %}" + source).render(Context(context)).strip()


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (2340, "usd", "$23.40"),
        (0, "usd", "$0.00"),
        (-500, "usd", "−$5.00"),
        (123456789, "usd", "$1,234,567.89"),
        (1200, "jpy", "¥1,200"),
        (990, "chf", "9.90 CHF"),
        (2340, "USD", "$23.40"),
        (Decimal("0.05"), "usd", "$0.0005"),
        (Decimal("0.0002"), "usd", "$0.000002"),
        (Decimal("12.5"), "usd", "$0.1250"),
        (Decimal("50.00"), "usd", "$0.50"),
        (Decimal("0.12345"), "usd", "$0.001235"),
        (None, "usd", "–"),
    ],
)
def test_money_is_exact(amount: Any, currency: str, expected: str) -> None:
    assert formats.money(amount, currency) == expected


def test_short_money_drops_only_empty_parts() -> None:
    assert formats.money_short(2900, "usd") == "$29"
    assert formats.money_short(2950, "usd") == "$29.50"
    assert formats.money_short(10_000_00, "chf") == "10,000 CHF"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1K"),
        (1234, "1.23K"),
        (999_999, "1M"),
        (20_000_000, "20M"),
        (-1500, "−1.5K"),
    ],
)
def test_compact(value: int, expected: str) -> None:
    assert formats.compact(value) == expected


def test_quantity_is_never_shortened() -> None:
    assert formats.quantity(1234567) == "1,234,567"
    assert formats.quantity(-12) == "−12"
    assert formats.quantity(Decimal("1234.5")) == "1,234.5"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0%"), (0.1234, "12.3%"), (1, "100%"), (0.0004, "<0.1%"), (Decimal("1.24"), "124%")],
)
def test_percent(value: Any, expected: str) -> None:
    assert formats.percent(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.2, "<1 ms"), (12, "12 ms"), (1240, "1.24 s"), (125_000, "2 min 5 s"), (3_600_000, "1 h")],
)
def test_duration(value: float, expected: str) -> None:
    assert formats.duration_ms(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(512, "512 B"), (1500, "1.5 kB"), (20_000_000, "20 MB")])
def test_bytes(value: int, expected: str) -> None:
    assert formats.bytes_size(value) == expected


@pytest.mark.parametrize(
    ("distance", "seen", "read_out"),
    [
        (timedelta(seconds=10), "just now", "Nov 20, 2026, 09:27 UTC"),
        (timedelta(minutes=1), "1 minute ago", "Nov 20, 2026, 09:27 UTC"),
        (timedelta(hours=5), "5 hours ago", "Nov 20, 2026, 04:28 UTC"),
        (timedelta(days=6, hours=20), "7 days ago", "Nov 13, 2026, 13:28 UTC"),
        (timedelta(days=-2), "in 2 days", "Nov 22, 2026, 09:28 UTC"),
        (timedelta(days=7), "Nov 13, 2026", "09:28 UTC"),
    ],
)
def test_times_are_relative_for_a_week_and_exact_for_who_listens(
    distance: timedelta, seen: str, read_out: str
) -> None:
    html = formats.ago(NOW - distance, NOW)
    assert f'>{seen}<span class="sr-only">, {read_out}</span></time>' in html
    assert "tabindex" not in html  # lists have too many times to stop at each


def test_a_relative_time_carries_the_exact_one() -> None:
    assert 'data-tooltip="Nov 20, 2026, 08:28 UTC"' in formats.ago(NOW - timedelta(hours=1), NOW)
    assert formats.ago(None) == "Never"


def test_absolute_times_name_their_zone() -> None:
    assert formats.when(NOW) == '<time datetime="2026-11-20T09:28:00+00:00">Nov 20, 2026, 09:28 UTC</time>'
    assert formats.day(date(2026, 1, 5)) == '<time datetime="2026-01-05">Jan 5, 2026</time>'


@pytest.mark.parametrize(
    ("status", "word", "tone"),
    [
        ("active", "Active", "success"),
        ("trialing", "Trial", "info"),
        ("past_due", "Past due", "danger"),
        ("unpaid", "Past due", "danger"),
        ("canceled", "Canceled", "neutral"),
        ("404", "404", "warning"),
        ("some_new_state", "Some new state", "neutral"),
    ],
)
def test_a_status_has_one_word_and_one_tone(status: str, word: str, tone: str) -> None:
    shown = statuses.look(status)
    assert (str(shown.word), shown.tone) == (word, tone)


def test_badges_escape_their_word() -> None:
    assert "<b>" not in ui.badge("<b>x</b>", tone="info")


def test_a_button_is_a_link_when_it_has_an_address() -> None:
    assert render("{% button 'Open' href=address variant='primary' %}", address="/x?a=1&b=2") == (
        '<a class="button button-primary" href="/x?a=1&amp;b=2"><span>Open</span></a>'
    )


def test_a_button_with_an_empty_address_fails_instead_of_submitting_the_form_around_it() -> None:
    with pytest.raises(ValueError, match="Back to licenses"):
        render("{% button 'Back to licenses' href=never_set %}")


def test_a_button_opens_a_dialog_without_submitting() -> None:
    html = render("{% button 'Revoke' dialog='revoke' %}")
    assert 'type="button"' in html
    assert 'command="show-modal" commandfor="revoke"' in html


def test_an_unknown_icon_is_an_error_and_every_icon_is_drawn() -> None:
    with pytest.raises(iconset.UnknownIcon):
        ui.icon("no-such-icon")
    assert {"key", "home", "chart"} <= set(iconset.icons())


def test_a_label_makes_an_icon_an_image() -> None:
    assert 'role="img" aria-label="Done"' in ui.icon("check", label="Done")
    assert 'aria-hidden="true"' in ui.icon("check")


def test_sorting_turns_round_and_starts_again_at_the_first_page() -> None:
    request = RequestFactory().get("/keys", {"sort": "name", "cursor": "abc", "status": "active"})
    html = render("{% sort_header 'Name' 'name' %}", request=request)
    assert 'aria-sort="ascending"' in html
    assert 'href="?sort=-name&amp;status=active"' in html


def test_pages_keep_the_filters() -> None:
    request = RequestFactory().get("/keys", {"status": "active", "cursor": "abc"})
    html = render("{% pager next='def' %}", request=request)
    assert "?status=active&amp;cursor=def" in html
    assert "?status=active&amp;limit=50" in html


def test_breadcrumbs_end_without_a_link() -> None:
    html = render("{% breadcrumbs 'API keys' '/keys' 'Create key' %}")
    assert '<a href="/keys">API keys</a>' in html
    assert '<span aria-current="page">Create key</span>' in html


@pytest.mark.parametrize(
    ("used", "limit", "hard", "expected"),
    [
        (10, 100, True, "10% used"),
        (85, 100, True, 'class="near"'),
        (100, 100, True, "Used up"),
        (140, 100, False, "40 over the allowance"),
        (140, 100, True, "Used up"),  # after a change to a smaller plan: it is not billed
        (5, None, True, "Unlimited"),
    ],
)
def test_a_quota_says_how_much_is_left(used: int, limit: int | None, hard: bool, expected: str) -> None:
    assert expected in render("{% quota 'Calls' used limit hard=hard %}", used=used, limit=limit, hard=hard)


def test_changes_are_judged_by_what_is_good() -> None:
    assert "delta-good" in measures.delta(110, 100)
    assert "delta-bad" in measures.delta(110, 100, good="down")
    assert "+10%" in measures.delta(110, 100)
    assert "−50%" in measures.delta(50, 100)
    assert "New" in measures.delta(5, 0)
    assert "–" in measures.delta(0, 0)


class KeyForm(forms.Form):
    name = forms.CharField(help_text="Seen by your team.")
    note = forms.CharField(required=False)


def test_a_field_is_tied_to_its_hint_and_its_error() -> None:
    html = str(KeyForm({})["name"].as_field_group())
    assert 'aria-describedby="id_name_hint id_name_error"' in html
    assert 'aria-invalid="true"' in html
    assert 'id="id_name_hint"' in html
    assert "This field is required." in html


def test_the_summary_links_to_the_fields() -> None:
    html = str(KeyForm({}))
    assert '<a href="#id_name">Name: This field is required.</a>' in html
    assert "data-error-summary" in html
    assert "data-error-summary" not in str(KeyForm())


def test_only_optional_fields_say_so() -> None:
    assert "Optional" in str(KeyForm()["note"].as_field_group())
    assert "Optional" not in str(KeyForm()["name"].as_field_group())


def test_attributes_reach_the_control() -> None:
    html = render("{% field form.name autocomplete='off' hint='Once.' %}", form=KeyForm())
    assert 'autocomplete="off"' in html
    assert "Once." in html


def test_the_theme_comes_from_the_cookie_and_only_known_ones() -> None:
    request = RequestFactory().get("/")
    for value, expected in (("dark", "dark"), ("light", "light"), ('"><x', "system"), ("", "system")):
        request.COOKIES["theme"] = value
        assert render("{% theme %}", request=request) == expected


def test_every_component_renders_without_inline_style_or_script() -> None:
    request = RequestFactory().get("/_styleguide/")
    html = get_template("styleguide.html").render(styleguide.context(), request)
    assert "style=" not in html
    assert " onclick=" not in html
    assert "<script>" not in html


@pytest.mark.parametrize("name", ["400.html", "403.html", "404.html", "429.html"])
def test_error_pages_say_what_to_do(name: str) -> None:
    html = get_template(name).render({}, RequestFactory().get("/x"))
    assert 'class="button button-primary"' in html


def test_the_page_for_a_crash_needs_no_context() -> None:
    assert "Try again" in get_template("500.html").render()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ada Lovelace", "AL"),
        ("Workshop (demo)", "WD"),
        ("ada.lovelace@example.com", "AL"),
        ("x", "X"),
        ("", "?"),
    ],
)
def test_initials(name: str, expected: str) -> None:
    assert ui.initials(name) == expected
