import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from superagent.foundation import idempotency, tenancy
from superagent.foundation.models import IdempotencyRecord

pytestmark = pytest.mark.django_db(transaction=True)


def run(organization_id, effects, body=None, key="k1", caller="user:ada"):
    def effect():
        effects.append(1)
        return 201, {"n": len(effects)}

    with tenancy.tenant(organization_id):
        return idempotency.once(
            organization_id=organization_id,
            caller=caller,
            endpoint="POST orders",
            key=key,
            body=body,
            effect=effect,
        )


def test_same_key_and_body_replays_the_answer():
    organization_id, effects = uuid4(), []
    assert run(organization_id, effects, {"a": 1}) == (201, {"n": 1}, False)
    assert run(organization_id, effects, {"a": 1}) == (201, {"n": 1}, True)
    assert len(effects) == 1


def test_same_key_with_another_body_is_refused():
    organization_id, effects = uuid4(), []
    run(organization_id, effects, {"a": 1})
    with pytest.raises(idempotency.KeyReused):
        run(organization_id, effects, {"a": 2})
    assert len(effects) == 1


def test_nothing_is_replayed_to_another_caller_nor_done_twice():
    organization_id, effects = uuid4(), []
    run(organization_id, effects, {"a": 1}, caller="user:ada")
    for other in ("user:vic", "api_key:1", ""):
        with pytest.raises(idempotency.KeyReused):
            run(organization_id, effects, {"a": 1}, caller=other)
    assert len(effects) == 1


def test_keys_of_two_organizations_do_not_meet():
    effects = []
    assert run(uuid4(), effects)[2] is False
    assert run(uuid4(), effects)[2] is False


def test_a_failed_effect_leaves_the_key_free():
    organization_id, effects = uuid4(), []

    def fail():
        raise RuntimeError

    with tenancy.tenant(organization_id), pytest.raises(RuntimeError):
        idempotency.once(
            organization_id=organization_id,
            caller="user:ada",
            endpoint="POST orders",
            key="k1",
            body=None,
            effect=fail,
        )
    assert run(organization_id, effects) == (201, {"n": 1}, False)


def test_two_at_once_have_one_effect_and_one_answer():
    organization_id, effects, answers = uuid4(), [], []
    barrier = threading.Barrier(4)

    def request():
        barrier.wait()
        try:
            answers.append(run(organization_id, effects)[:2])
        finally:
            connection.close()

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(effects) == 1
    assert answers == [(201, {"n": 1})] * 4


def test_old_records_are_forgotten():
    organization_id = uuid4()
    run(organization_id, [])
    with tenancy.system("test"):
        assert idempotency.forget_old(now=timezone.now()) == 0
        assert idempotency.forget_old(now=timezone.now() + timedelta(days=31)) == 1
        assert not IdempotencyRecord.objects.exists()
