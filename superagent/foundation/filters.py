"""Filters of API lists: a value that cannot be parsed is refused, not ignored.

Which filters exist is checked against the schema (`contract`).
"""

import re
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django_filters import fields
from django_filters.rest_framework import DjangoFilterBackend
from django_filters.rest_framework import FilterSet as BaseFilterSet
from django_filters.rest_framework import filters as base

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_WORDS = {"true": True, "false": False}


class MomentField(fields.IsoDateTimeField):
    def to_python(self, value: Any) -> Any:
        """In UTC: PostgreSQL refuses offsets of 16 hours and more, which RFC 3339 allows."""
        moment = super().to_python(value)
        try:
            return moment.astimezone(UTC) if isinstance(moment, datetime) else moment
        except OverflowError:
            raise ValidationError(
                "Choose a time in the years 1 to 9999 of UTC.", code="out_of_range"
            ) from None


class IntegerField(forms.IntegerField):
    def to_python(self, value: Any) -> int | None:
        if value not in self.empty_values and not _INTEGER.fullmatch(str(value)):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class BooleanField(forms.Field):
    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        try:
            return _WORDS[value]
        except KeyError:
            raise ValidationError("Send true or false.", code="invalid") from None


class MomentFilter(base.IsoDateTimeFilter):
    field_class = MomentField


class IntegerFilter(base.NumberFilter):
    field_class = IntegerField

    def get_max_validator(self) -> None:
        """The pattern bounds it."""


class BooleanFilter(base.BooleanFilter):
    field_class = BooleanField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.extra["widget"]


class FilterSet(BaseFilterSet):
    FILTER_DEFAULTS = deepcopy(BaseFilterSet.FILTER_DEFAULTS) | {
        models.DateTimeField: {"filter_class": MomentFilter},
        models.BooleanField: {"filter_class": BooleanFilter},
    }


class StrictFilterBackend(DjangoFilterBackend):
    filterset_base = FilterSet
