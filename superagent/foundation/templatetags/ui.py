"""The components of the portal as template tags; templates/components/README.md shows each in one line."""

import re
from typing import Any

from django import template
from django.http import HttpRequest
from django.template import Context
from django.template.loader import render_to_string
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from superagent.foundation.templatetags import fields, formats, measures, navigation, shared_parts, statuses
from superagent.foundation.templatetags.iconset import icon_svg

register = template.Library()
for part in (fields, formats, measures, navigation, shared_parts):  # one {% load ui %} brings everything
    register.tags.update(part.register.tags)
    register.filters.update(part.register.filters)


# --- Small things -----------------------------------------------------------------------------------------------------


@register.simple_tag
def icon(key: str, size: int = 16, label: str = "", classes: str = "") -> SafeString:
    return icon_svg(key, size, label, classes)


def attributes(values: dict[str, Any]) -> SafeString:
    """HTML attributes: data_copy="x" becomes data-copy="x", True stands alone, None and False are left out."""
    pairs = []
    for key, value in values.items():
        name = key.rstrip("_").replace("_", "-")
        if value is True:
            pairs.append(format_html(" {}", mark_safe(name)))  # noqa: S308  # keyword names of our own templates
        elif value not in (None, False, ""):
            pairs.append(format_html(' {}="{}"', mark_safe(name), value))  # noqa: S308
    return mark_safe("".join(pairs))  # noqa: S308  # built by format_html


@register.simple_tag
def button(
    label: str,
    variant: str = "secondary",
    size: str = "",
    icon: str = "",
    href: str | None = None,
    dialog: str = "",
    block: bool = False,
    icon_only: bool = False,
    **attrs: Any,
) -> SafeString:
    """A button, or a link that looks like one when it has `href`; `dialog` is the id of the dialog it opens.

    Raises ValueError for an `href` that is empty: a variable that the template never set would turn "Back" into a
    second submit button of the form around it.
    """
    if href is not None and not href:
        raise ValueError(f"the button {label!s} was given an empty address")
    names = ["button", f"button-{variant}", f"button-{size}" if size else "", "button-block" if block else ""]
    inside = icon_svg(icon) if icon else ""
    text = format_html("<span>{}</span>", label)
    if icon_only:
        names.append("button-icon")
        text = format_html('<span class="sr-only">{}</span>', label)
        attrs.setdefault("data_tooltip", label)
    names.append(attrs.pop("classes", ""))
    css = " ".join(filter(None, names))
    if href:
        return format_html('<a class="{}" href="{}"{}>{}{}</a>', css, href, attributes(attrs), inside, text)
    if dialog:
        attrs = {"type": "button", "command": "show-modal", "commandfor": dialog} | attrs
    attrs.setdefault("type", "submit")
    return format_html('<button class="{}"{}>{}{}</button>', css, attributes(attrs), inside, text)


@register.simple_tag
def badge(status: Any, tone: str = "", word: str = "", dot: bool = True) -> SafeString:
    """The one word and tone for a status ("past_due" → Past due); with `tone`, any word of your own."""
    shown = statuses.look(str(status), tone, word)
    classes = f"badge badge-{shown.tone}{' badge-dot' if dot else ''}{' badge-ring' if shown.is_open else ''}"
    return format_html('<span class="{}">{}</span>', classes, shown.word)


@register.simple_tag
def new_badge() -> SafeString:
    return format_html('<span class="badge badge-new">{}</span>', _("New"))


@register.simple_tag
def live(key: str, value: Any) -> SafeString:
    """A figure that the event stream keeps up to date (see static/js/live.js)."""
    return format_html('<span data-live="{}">{}</span>', key, value)


# --- Containers -------------------------------------------------------------------------------------------------------


@register.simple_block_tag
def card(
    content: str,
    title: str = "",
    about: str = "",
    flush: bool = False,
    classes: str = "",
    action: str = "",
    action_href: str = "",
    foot: str = "",
    id: str = "",  # noqa: A002  # the attribute's own name
) -> str:
    """A card; `flush` lets a table touch the borders."""
    return _component("card", locals())


@register.simple_block_tag
def alert(
    content: str,
    tone: str = "info",
    title: str = "",
    action: str = "",
    action_href: str = "",
    banner: bool = False,
) -> str:
    """What the reader has to know here; `banner` for the strip above the page."""
    key = {"success": "check-circle", "warning": "alert", "danger": "x-circle"}.get(tone, "info")
    return _component("alert", locals())


@register.simple_block_tag
def dialog(content: str, id: str, title: str, wide: bool = False) -> str:  # noqa: A002
    """A modal dialog; put a form or `.dialog-foot` inside yourself."""
    return _component("dialog", locals())


@register.simple_block_tag(takes_context=True)
def confirm(
    context: Context,
    content: str,
    id: str,  # noqa: A002
    title: str,
    verb: str,
    keep: str,
    action: str,
    tone: str = "danger",
    type_to_confirm: str = "",
    name: str = "",
    value: str = "",
) -> str:
    """Title = verb + object, body = consequences, buttons repeat the verb. Posts to `action`."""
    return _component("confirm", locals() | {"csrf_token": context.get("csrf_token")})


@register.simple_block_tag
def table(
    content: str, caption: str = "", cards: bool = True, brief: bool = False, show_caption: bool = False
) -> str:
    """Wraps <thead> and <tbody>; cells carry `data-label` for phones, where rows become cards, or two lines if `brief`
    (without cells of class `brief-off`)."""
    return _component("table", locals())


@register.simple_block_tag
def empty_state(
    content: str, title: str, kind: str = "first", icon: str = "", action: str = "", action_href: str = "",
    dialog: str = "", compact: bool = False,
) -> str:  # fmt: skip
    """Kinds: first (nothing yet), match (filters hide all), permission (who grants it). A compact one is in a card of a
    page that has its primary button elsewhere."""
    shown = icon or {"match": "search", "permission": "lock"}.get(kind, "inbox")
    variant = "primary" if kind == "first" and not compact else "secondary"
    return _component("empty_state", locals())


@register.simple_block_tag
def code_block(content: str, title: str = "", copy: bool = True) -> str:
    """Source text with a copy button; leading and trailing line breaks are cut."""
    return _component("code_block", locals() | {"content": mark_safe(content.strip("\n"))})  # noqa: S308  # escaped


@register.inclusion_tag("components/api_call.html", takes_context=True)
def api_call(context: Context, path: str, body: str = "", key: str = "") -> dict[str, Any]:
    """A call of the API in curl, Python and JavaScript, ready to run. `path` is what follows /api/v1/; `body` is JSON
    without true, false and null, so that it is Python too. `key` is put into curl only: what goes into a file reads it
    from the environment."""
    return {
        "url": context["request"].build_absolute_uri(f"/api/v1/{path}"),
        "body": body,
        "key": key or "$SUPERAGENT_KEY",
    }


@register.simple_block_tag
def tabs(content: str, label: str) -> str:
    return _component("tabs", locals())


# --- Facts ------------------------------------------------------------------------------------------------------------


@register.inclusion_tag("components/checklist.html")
def checklist(items: list[Any]) -> dict[str, Any]:
    """Items have title, text, href, action and is_done; the first that is not done has the primary button."""
    return {"items": items, "next": next((item for item in items if not _get(item, "is_done")), None)}


@register.inclusion_tag("components/facts.html")
def facts(rows: list[tuple[Any, Any]], amounts: bool = False) -> dict[str, Any]:
    """A definition list of (term, value); `amounts` puts figures at the right."""
    return locals()


@register.inclusion_tag("components/skeleton.html")
def skeleton(rows: int = 3, block: bool = False) -> dict[str, Any]:
    return {"rows": range(rows), "block": block}


@register.inclusion_tag("components/copy_field.html")
def copy_field(value: str, label: str = "", secret: bool = False, masked: str = "") -> dict[str, Any]:
    """A value with a copy button; `secret` hides it behind Reveal."""
    return locals()


@register.inclusion_tag("components/secret_once.html")
def secret_once(value: str, title: str, text: str = "") -> dict[str, Any]:
    """A secret that is shown this once; leaving the page before copying it warns."""
    return locals()


@register.inclusion_tag("components/toast.html", takes_context=True)
def toast(context: Context, text: str, undo: str = "") -> dict[str, Any]:
    """A note that goes by itself; only with Undo (a URL to post to)."""
    return {"text": text, "undo": undo, "csrf_token": context.get("csrf_token")}


# --- The page ---------------------------------------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def theme(context: Context) -> str:
    """light, dark or system, from the reader's cookie."""
    request = context.get("request")
    return theme_of(request) if request else "system"


def theme_of(request: HttpRequest) -> str:
    chosen = request.COOKIES.get("theme", "")
    return chosen if chosen in ("light", "dark") else "system"


@register.simple_tag
def ui_strings() -> SafeString:
    """The words that scripts need, as data that the Content-Security-Policy allows."""
    words = {
        "copied": _("Copied"), "copyFailed": _("Press Ctrl+C to copy"), "show": _("Show"), "hide": _("Hide"),
        "showPassword": _("Show password"), "hidePassword": _("Hide password"),
        "required": _("Fill in this field."), "tick": _("Tick the box to go on."),
        "email": _("Enter an email address like name@example.com."),
        "url": _("Enter an address that starts with https://."), "tooShort": _("Use at least {n} characters."),
        "tooLong": _("Use at most {n} characters."), "min": _("Enter {n} or more."), "max": _("Enter {n} or less."),
        "invalid": _("Check this field."), "summary": _("Please check these fields"),
        "failed": _("This part could not be loaded"),
        "offline": _("The server cannot be reached. Check your connection."),
        "retry": _("Retry"), "requestId": _("Request id"), "live": _("Live"), "reconnecting": _("Reconnecting…"),
        "loggedOut": _("You are logged out. Log in"),
        "noMatch": _("Nothing matches"), "searching": _("Searching…"),
        "pages": _("Pages"), "leave": _("The secret was not copied yet."),
        "on": _("On"), "off": _("Off"),
    }  # fmt: skip
    return json_script(words, "ui-strings")


@register.filter
def initials(name: str) -> str:
    """Ada Lovelace is AL, ada.lovelace@example.com too."""
    words = re.findall(r"[^\W_]+", str(name).split("@")[0])
    if not words:
        return "?"
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


def _component(name: str, values: dict[str, Any]) -> str:
    return render_to_string(f"components/{name}.html", {k: v for k, v in values.items() if k != "context"})


def _get(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, dict) else getattr(item, name, None)


@register.filter
def message_tone(level: str) -> str:
    """The tone of an alert for a level of Django's messages."""
    return {"error": "danger", "warning": "warning", "success": "success"}.get(level, "info")


@register.filter
def product_label(slug: str) -> str:
    """The slug of a pricing link as words: nextpanel-business is NextPanel Business."""
    return slug.replace("-", " ").title().replace("Nextpanel", "NextPanel")
