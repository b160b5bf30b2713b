"""Parser for the bodies of API requests: JSON in UTF-8 (RFC 8259), of limited size and depth, with text that PostgreSQL
can store.
"""

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice
from typing import Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from superagent.foundation.problems import BodyTooLarge, FieldError, Invalid, Refusal, body_limit, pointer_to

MAX_DIGITS = 18  # of a length that is worth turning into a number
MAX_DEPTH = 64
MOST_ERRORS = 20
MOST_NAME = 100
REPEATED = "repeated_field"
# How NUL and halves of surrogate pairs look in JSON; whole pairs look so too, so a hit is only a reason to look.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class UnsupportedEncoding(Refusal):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_encoding"
    title = "The body has a Content-Encoding that is not supported"


class JsonBody(JSONParser):
    """Parses a request body. A view sets `max_body_bytes` if it accepts more than one MiB.

    Raises BodyTooLarge, UnsupportedEncoding, ParseError, and Invalid for a repeated name in an object and for a string
    that cannot be stored, each with its pointer.
    """

    refuses_text = True

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        context = parser_context or {}
        headers = context["request"].META if "request" in context else {}
        raw = _read(
            stream,
            view=context.get("view"),
            announced=headers.get("CONTENT_LENGTH", ""),
            encoding=headers.get("HTTP_CONTENT_ENCODING", ""),
        )
        objects = _Objects()
        try:
            text = raw.decode()
            body = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=objects.read)
        except ValueError as error:
            raise ParseError(f"The body is not JSON in UTF-8: {error}.") from None
        except RecursionError:
            raise ParseError(_too_deep()) from None
        is_suspicious = bool(self.refuses_text and _SUSPICIOUS.search(text))
        if objects.repeated or is_suspicious or text.count("[") + text.count("{") > MAX_DEPTH:
            _refuse(body, objects, refuses_text=is_suspicious)
        return body


class JsonEvents(JsonBody):
    """For batches, whose items are refused one by one: the texts are checked by whoever reads an item."""

    refuses_text = False


def _read(stream: Any, *, view: Any, announced: str, encoding: str) -> bytes:
    """Returns the bytes of the body, decompressed if necessary; at most as many as `view` accepts, before and after."""
    most = body_limit(view)
    if announced.isdecimal() and (len(announced) > MAX_DIGITS or int(announced) > most):
        raise BodyTooLarge.for_view(view)  # unread: the server may have refused to take that much
    raw: bytes = stream.read(most + 1)
    if len(raw) <= most and (coding := encoding.strip().lower()) not in ("", "identity"):
        if coding not in ("gzip", "x-gzip"):
            raise UnsupportedEncoding(
                "Send the body uncompressed, or compressed by gzip.", headers={"Accept-Encoding": "gzip"}
            )
        raw = _unpacked(raw, most)
    if len(raw) > most:
        raise BodyTooLarge.for_view(view)
    return raw


def _unpacked(packed: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        raw = unpacker.decompress(packed, most + 1)
    except zlib.error as error:
        raise ParseError(f"The body is not gzip, as Content-Encoding says: {error}.") from None
    if len(raw) <= most and (not unpacker.eof or unpacker.unused_data):
        raise ParseError("The body is not one whole gzip member, as Content-Encoding says.")
    return raw


def is_storable(text: str) -> bool:
    """Returns False for text with NUL or half of a surrogate pair, which PostgreSQL cannot store."""
    return _UNSTORABLE.search(text) is None


class _Objects:
    """Decodes JSON objects and remembers those with repeated names.

    Parsers disagree on whether the first or the last value counts, so one could check a value and another use a
    different one.
    """

    def __init__(self) -> None:
        self.repeated: dict[int, tuple[dict[str, Any], str]] = {}
        """An object and a name that it repeats, by the identity of the object, which is kept so that it stays one."""

    def read(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            [(name, _times)] = Counter(name for name, _ in pairs).most_common(1)
            self.repeated[id(found)] = found, name
        return found


def _refuse(body: Any, objects: _Objects, *, refuses_text: bool) -> None:
    """Raises Invalid for repeated names and, if `refuses_text`, for text that cannot be stored; ParseError for a body
    that is nested too deeply.
    """
    _check_depth(body)
    if not objects.repeated and not refuses_text:
        return
    found = (
        error
        for value, path in _places(body)
        for error in _wrong(value, path, objects)
        if refuses_text or error.code == REPEATED
    )
    if errors := list(islice(found, MOST_ERRORS)):
        raise Invalid.fields(errors)


def _check_depth(body: Any) -> None:
    """Level by level, and of each level the objects and arrays alone: a batch has many texts and numbers."""
    level = [body]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise ParseError(_too_deep())


def _wrong(value: Any, path: tuple[Any, ...], objects: _Objects) -> Iterator[FieldError]:
    if isinstance(value, str):
        is_storable_here = is_storable(value)
    elif isinstance(value, dict):
        is_storable_here = all(map(is_storable, value))
        if id(value) in objects.repeated:
            _, name = objects.repeated[id(value)]
            place = (*path, name[:MOST_NAME]) if is_storable(name) else path
            yield FieldError(pointer_to(*place), REPEATED, "Send it once.")
    else:
        return
    if not is_storable_here:
        text = "Send text without NUL and halves of surrogate pairs."
        yield FieldError(pointer_to(*path), "invalid_text", text)


def _places(body: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yields every value of the body with its path; values below a name that cannot be stored have none."""
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(body, ())]
    while waiting:
        value, path = waiting.pop()
        yield value, path
        if not isinstance(value, dict | list):
            continue
        if isinstance(value, dict):
            waiting += [
                (item, (*path, name[:MOST_NAME])) for name, item in value.items() if is_storable(name)
            ]
        else:
            waiting += [(item, (*path, index)) for index, item in enumerate(value)]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _too_deep() -> str:
    return f"The body is nested deeper than {MAX_DEPTH} levels."
