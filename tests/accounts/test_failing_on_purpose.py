"""Redis lost: the cache is empty, locks are free, limits are open, and every time it is logged."""

import pytest
import redis
from django.core.cache import cache

from accounts import key_records, outbox_handlers, tasks
from superagent.foundation import caches, redis_client, retries
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import PASSWORD, person


@pytest.fixture
def no_redis(monkeypatch):
    def lost(*args, **kwargs):
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(redis_client, "connection", lost)
    monkeypatch.setattr(redis.connection.ConnectionPool, "get_connection", lost)


@pytest.mark.parametrize(
    "call, answer",
    [
        (lambda: cache.get("a", "default"), "default"),
        (lambda: cache.add("a", 1), True),
        (lambda: cache.set("a", 1), None),
        (lambda: cache.touch("a"), False),
        (lambda: cache.delete("a"), False),
        (lambda: cache.get_many(["a"]), {}),
        (lambda: cache.set_many({"a": 1}), ["a"]),
        (lambda: "a" in cache, False),
    ],
)
def test_the_cache_forgives(no_redis, call, answer):
    assert isinstance(cache._connections["default"], caches.ForgivingRedisCache)
    assert call() == answer


def test_the_cache_works(db):
    assert cache.add("a", 1)
    assert not cache.add("a", 2)
    assert cache.get("a") == 1


def test_people_log_in_to_the_portal_without_redis(client, db, no_redis):
    person("ada@engines.example")
    answer = client.post("/accounts/login/", {"login": "ada@engines.example", "password": PASSWORD})
    assert answer.status_code == 302


def test_the_outbox_retries_what_redis_missed(no_redis, acme):
    from tests.accounts.conftest import key_of

    key_of(acme)
    from accounts.models import ApiKey
    from superagent.foundation import tenancy

    with tenancy.system("test"):
        key = ApiKey.objects.get()
    with pytest.raises(retries.Retryable):
        outbox_handlers.publish_api_key(
            OutboxMessage(topic="accounts.publish_api_key", payload={"api_key": str(key.pk)})
        )


def test_the_jobs_run(db, acme):
    from tests.accounts.conftest import key_of

    key_of(acme).get("organizations")
    assert tasks.record_key_uses() == 1
    assert tasks.record_key_uses() == 0
    assert tasks.forget_token_families() == 0
    assert key_records.take_uses() == {}
