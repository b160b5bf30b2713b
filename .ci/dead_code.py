"""Functions, classes, methods and properties that nobody uses: vulture's findings, less what frameworks call.

What a template names, or a dotted path in a string (settings, tasks that are nudged by name), is used. Tests do not
count: what only they call is dead. Vulture compares names, so it misses what is called like something that is used.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from vulture import Vulture
from vulture.core import Item

ROOT = Path(__file__).resolve().parent.parent
CODE = (
    ".ci",
    "accounts",
    "bench",
    "billing",
    "bootstrap.py",
    "licensing",
    "manage.py",
    "metering",
    "superagent",
)
KINDS = ("function", "class", "method", "property")
REGISTERS = [  # decorators that hand a function or class to whoever calls it
    "@receiver", "@shared_task", "@overload", "@admin.*", "@app.*", "@checks.*", "@handles", "@included", "@register.*",
    "@route", "@*.connect", "@*.handler", "@*.handles", "@*.register",
]  # fmt: skip
CALLED_BY_FRAMEWORKS = {
    "*Config": "Django finds the class in apps.py",
    "*Scheme": "drf-spectacular finds its subclasses",
    "add_arguments": "Django's commands",
    "allow_request": "DRF's throttles",
    "authenticate_header": "DRF's authentication",
    "clean_*": "Django's forms",
    "filter_*": "django-filter, by the name in `method`",
    "get_*": "Django's, DRF's and allauth's classes ask for much; a serializer's field calls its own",
    "_get_session_*": "Django's sessions",
    "handle_no_permission": "Django's LoginRequiredMiddleware",
    "has_*permission": "DRF's permissions and Django's admin",
    "ignore_aliases": "PyYAML's dumpers",
    "lookup_allowed": "Django's admin",
    "lookups": "Django's admin, of its filters",
    "password_change": "Django's admin site",
    "patch": "DRF's views, by the method of the request",
    "pre_social_login": "allauth's adapters",
    "process_*": "Django's middleware",
    "readinto": "io.RawIOBase",
    "save_model": "Django's admin",
    "_set_content_type_params": "Django's HttpRequest",
    "should_send_confirmation_mail": "allauth's adapters",
    "validate_*": "DRF's serializers",
}
EXCEPTIONS = {
    "carry": "the one safe way for a stream to read a tenant's rows; no stream of ours reads any yet",
}

DOTTED = re.compile(r"""["'](?:\w+[.:])+(\w+)["']""")
WORD = re.compile(r"\w+")


def named_in_strings() -> set[str]:
    """Returns the last names of dotted paths in code, and every word of the templates."""
    found: set[str] = set()
    for part in CODE:
        for path in (ROOT / part).rglob("*.py"):
            found.update(DOTTED.findall(path.read_text()))
    for path in (ROOT / "templates").rglob("*.*"):
        found.update(WORD.findall(path.read_text()))
    return found


def unused() -> Iterator[Item]:
    finder = Vulture(ignore_decorators=REGISTERS, ignore_names=list(CALLED_BY_FRAMEWORKS))
    finder.scavenge([str(ROOT / part) for part in CODE], exclude=["*/migrations/*"])
    used = named_in_strings() | EXCEPTIONS.keys()
    for item in finder.get_unused_code():
        if item.typ in KINDS and item.name not in used:
            yield item


def main() -> int:
    found = list(unused())
    for item in found:
        where = item.filename.relative_to(ROOT)
        print(
            f"{where}:{item.first_lineno}: nobody uses the {item.typ} {item.name}: delete it, or say why it stays"
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
