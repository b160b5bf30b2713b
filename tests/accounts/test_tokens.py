from datetime import timedelta

import jwt
import pytest
from django.conf import settings
from django.utils import timezone

from accounts import people, tokens
from accounts.models import TokenFamily
from accounts.tokens import InvalidToken
from tests.accounts.conftest import actions, person


def log_in(user) -> tokens.Pair:
    return tokens.log_in(user=user, ip_address="192.0.2.1", user_agent="test", now=timezone.now())


def refresh(token: str) -> tokens.Pair:
    return tokens.refresh(refresh_token=token, now=timezone.now())


def test_claims(owner):
    pair = log_in(owner)
    for token, kind, lifetime in (
        (pair.access_token, "access", 1800),
        (pair.refresh_token, "refresh", 7 * 86400),
    ):
        claims = jwt.decode(token, settings.SECRET_KEY, algorithms=["HS256"])
        assert claims.keys() == {"sub", "type", "jti", "exp", "iat", "sid"}
        assert (claims["sub"], claims["type"], claims["exp"] - claims["iat"]) == (
            str(owner.pk),
            kind,
            lifetime,
        )
    assert (pair.token_type, pair.expires_in) == ("bearer", 1800)


def test_authenticate_takes_one_query(owner, django_assert_num_queries):
    pair = log_in(owner)
    with django_assert_num_queries(1):
        assert tokens.authenticate(pair.access_token).user == owner


@pytest.mark.parametrize("token", ["", "x.y.z", "sa_test_x"])
def test_nonsense_is_refused(db, token):
    with pytest.raises(InvalidToken):
        tokens.authenticate(token)
    with pytest.raises(InvalidToken):
        refresh(token)


def test_a_token_is_good_for_its_own_purpose_only(owner):
    pair = log_in(owner)
    with pytest.raises(InvalidToken):
        tokens.authenticate(pair.refresh_token)
    with pytest.raises(InvalidToken):
        refresh(pair.access_token)


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1},
        {"sub": "nobody"},
        {"sid": "nothing"},
        {"sub": "01a1f860-5501-751a-a8d3-a56d57d549dd"},
        {"sid": "01a1f860-5501-751a-a8d3-a56d57d549dd"},
    ],
)
def test_signed_but_wrong_claims_are_refused(owner, changed):
    claims = jwt.decode(log_in(owner).access_token, settings.SECRET_KEY, algorithms=["HS256"]) | changed
    with pytest.raises(InvalidToken):
        tokens.authenticate(jwt.encode(claims, settings.SECRET_KEY, algorithm="HS256"))


@pytest.mark.parametrize(
    "algorithm, key", [("none", None), ("HS256", "another-key-of-thirty-two-characters")]
)
def test_a_forged_signature_is_refused(owner, algorithm, key):
    claims = jwt.decode(log_in(owner).access_token, settings.SECRET_KEY, algorithms=["HS256"])
    with pytest.raises(InvalidToken):
        tokens.authenticate(jwt.encode(claims, key, algorithm=algorithm))


def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_family(owner):
    first = log_in(owner)
    second = refresh(first.refresh_token)
    assert tokens.authenticate(second.access_token).user == owner
    with pytest.raises(InvalidToken):
        refresh(first.refresh_token)
    with pytest.raises(InvalidToken):
        refresh(second.refresh_token)
    with pytest.raises(InvalidToken):
        tokens.authenticate(second.access_token)
    assert actions(None)[-1] == "user.refresh_token_reused"


def test_families_are_independent(owner):
    mine, others = log_in(owner), log_in(owner)
    tokens.log_out(refresh_token=mine.refresh_token, now=timezone.now())
    assert tokens.authenticate(others.access_token).user == owner


def test_log_out_ends_access_too_and_may_be_repeated(owner):
    pair = log_in(owner)
    for _ in range(2):
        tokens.log_out(refresh_token=pair.refresh_token, now=timezone.now())
    with pytest.raises(InvalidToken):
        tokens.authenticate(pair.access_token)
    assert actions(None).count("user.logged_out") == 1


def test_another_password_ends_all_tokens(owner):
    pair = log_in(owner)
    owner.set_password("another long password")
    owner.save()
    with pytest.raises(InvalidToken):
        tokens.authenticate(pair.access_token)
    with pytest.raises(InvalidToken):
        refresh(pair.refresh_token)


def test_a_deactivated_person_has_no_tokens(owner):
    pair = log_in(owner)
    owner.is_active = False
    owner.save()
    with pytest.raises(InvalidToken):
        tokens.authenticate(pair.access_token)
    with pytest.raises(InvalidToken):
        refresh(pair.refresh_token)


def test_end_api_log_ins(owner):
    pairs = [log_in(owner) for _ in range(2)]
    assert people.end_api_log_ins(user=owner, now=timezone.now()) == 2
    for pair in pairs:
        with pytest.raises(InvalidToken):
            tokens.authenticate(pair.access_token)


def test_forget_expired(owner):
    log_in(owner)
    now = timezone.now()
    assert tokens.forget_expired(now=now + timedelta(days=6)) == 0
    assert tokens.forget_expired(now=now + timedelta(days=8)) == 1
    assert not TokenFamily.objects.exists()


def test_an_api_log_in_ends_however_often_it_is_refreshed(db):
    user, now = person("ada@engines.example"), timezone.now()
    pair = tokens.log_in(user=user, ip_address=None, user_agent="", now=now)
    pair = tokens.refresh(refresh_token=pair.refresh_token, now=now)
    TokenFamily.objects.update(created_at=now - tokens.FAMILY_LIFETIME)
    with pytest.raises(tokens.InvalidToken, match="30 days"):
        tokens.refresh(refresh_token=pair.refresh_token, now=now)
