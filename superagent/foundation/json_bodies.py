"""Bodies of API requests: JSON in UTF-8 (RFC 8259), of bounded size and depth, with text that PostgreSQL can hold."""

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from superagent.foundation.problems import FieldError, Invalid, Refusal, pointer_to

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
# How NUL and halves of surrogate pairs look in JSON; whole pairs look so too, so a hit is only a reason to look.
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class BodyTooLarge(Refusal):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "body_too_large"
    title = "The body is too large"


class UnsupportedEncoding(Refusal):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_encoding"
    title = "The body is packed in a way that we cannot unpack"


class JsonBody(JSONParser):
    """A view that takes more than a mebibyte says so by `max_body_bytes`.

    Raises BodyTooLarge, UnsupportedEncoding, ParseError, and Invalid for a string that cannot be stored, named by its
    pointer.
    """

    refuses_text = True

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        context = parser_context or {}
        raw = _read(
            stream,
            most=getattr(context.get("view"), "max_body_bytes", MAX_BYTES),
            encoding=context["request"].META.get("HTTP_CONTENT_ENCODING", "") if "request" in context else "",
        )
        try:
            text = raw.decode()
            body = json.loads(text, parse_constant=_refuse_constant)
        except ValueError as error:
            raise ParseError(f"The body is not JSON in UTF-8: {error}.") from None
        except RecursionError:
            raise ParseError(_too_deep()) from None
        is_suspicious = self.refuses_text and _SUSPICIOUS.search(text)
        if is_suspicious or text.count("[") + text.count("{") > MAX_DEPTH:
            errors = [_unstorable(path) for path in _walk(body) if is_suspicious]
            if errors:
                raise Invalid(f"{errors[0].pointer or 'body'}: {errors[0].detail}", errors=errors)
        return body


class JsonEvents(JsonBody):
    """For batches, whose items are refused one by one: their texts are left to the reader of an item."""

    refuses_text = False


def _read(stream: Any, *, most: int, encoding: str) -> bytes:
    """The bytes of the body, unpacked if it was sent packed; at most `most`, packed and unpacked."""
    raw: bytes = stream.read(most + 1)
    if len(raw) <= most and (coding := encoding.strip().lower()) not in ("", "identity"):
        if coding not in ("gzip", "x-gzip"):
            raise UnsupportedEncoding(
                "Send the body as it is, or packed by gzip.", headers={"Accept-Encoding": "gzip"}
            )
        raw = _unpacked(raw, most)
    if len(raw) > most:
        raise BodyTooLarge(f"Send at most {most:,} bytes, unpacked.")
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
    """PostgreSQL's text holds no NUL and no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _walk(body: Any) -> Iterator[tuple[Any, ...]]:
    """Paths to strings, or names, that cannot be stored. Raises ParseError for a body that is nested too deep."""
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(body, ())]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, str) and not is_storable(value):
            yield path
        elif isinstance(value, Mapping | list):
            if len(path) >= MAX_DEPTH:
                raise ParseError(_too_deep())
            if isinstance(value, Mapping):
                if not all(map(is_storable, value)):
                    yield path
                waiting += [(item, (*path, name)) for name, item in value.items() if is_storable(name)]
            else:
                waiting += [(item, (*path, index)) for index, item in enumerate(value)]


def _unstorable(path: tuple[Any, ...]) -> FieldError:
    return FieldError(
        pointer_to(*path), "invalid_text", "Send text without NUL and halves of surrogate pairs."
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _too_deep() -> str:
    return f"The body is nested deeper than {MAX_DEPTH} levels."
