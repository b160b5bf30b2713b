"""Fencing tokens: an older fetch is never applied after a newer one, whatever the order of arrival."""

import pytest
from django.db import transaction

from billing.stripe import fencing

pytestmark = pytest.mark.django_db


def accept(name: str, token: int) -> bool:
    with transaction.atomic():
        return fencing.accept(name, token)


def test_tokens_only_grow() -> None:
    first, second = fencing.next_token(), fencing.next_token()
    assert second > first


def test_an_older_fetch_is_stale_once_a_newer_one_is_applied(system_scope: None) -> None:
    older, newer = fencing.next_token(), fencing.next_token()
    assert accept("sub_1", newer)
    assert not accept("sub_1", older)
    assert not accept("sub_1", newer), "the same fetch is applied once"
    assert accept("sub_1", fencing.next_token())


def test_each_object_has_a_fence_of_its_own(system_scope: None) -> None:
    older, newer = fencing.next_token(), fencing.next_token()
    assert accept("sub_1", newer)
    assert accept("sub_2", older)
