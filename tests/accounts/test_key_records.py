"""Cached API keys in Redis: late readers, test clocks, and when keys were used."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import api_keys, key_records, organizations
from accounts.models import ApiKey
from superagent.foundation import tenancy
from tests.accounts.test_api_keys import _fresh, create, revoke


@pytest.mark.django_db(transaction=True)
def test_a_reader_that_is_late_cannot_bring_a_revoked_key_back(acme):
    key, plain_text = create(acme)
    with tenancy.system("test"):
        old_record = key_records.dump(ApiKey.objects.select_related("organization").get(pk=key.pk))
    revoke(acme, key)
    key_records.offer(bytes(key.key_hash), old_record)
    key_records.write(bytes(key.key_hash), old_record)
    with pytest.raises(api_keys.InvalidKey):
        api_keys.resolve(plain_text)


@pytest.mark.django_db(transaction=True)
def test_the_test_clock_reaches_cached_keys(acme):
    _key, plain_text = create(acme)
    api_keys.resolve(plain_text)
    later = timezone.now() + timedelta(days=31)
    organizations.set_test_clock_time(organization=acme, test_clock_time=later)
    assert api_keys.resolve(plain_text).test_clock_time == later


def test_uses_are_noted_once_a_minute_and_written_in_one_statement(acme, django_assert_num_queries):
    keys = [create(acme)[0] for _ in range(3)]
    with django_assert_num_queries(0):
        for _ in range(5):
            for key in keys:
                key_records.note_use(key.pk)
    with tenancy.system("test"), django_assert_num_queries(1):
        assert api_keys.record_uses(uses=key_records.take_uses()) == 3
    assert timezone.now() - _fresh(keys[0]).last_used_at < timedelta(minutes=1)
    with tenancy.system("test"):
        assert api_keys.record_uses(uses=key_records.take_uses()) == 0
