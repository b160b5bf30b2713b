"""L14: whether an address has an account is told to its mailbox, and not to who signs up with it on the page."""

import re
import time

import pytest
from django.contrib.auth import get_user
from django.core import mail
from django.test import Client

from accounts.models import User
from superagent.foundation import outbox
from tests.accounts.conftest import PASSWORD, path_in_mail, person

TAKEN, FREE = "olga@acme.example", "vera@acme.example"  # of one length, as their cookies are
MAIL_SENT = "/accounts/confirm-email/"
PERSONAL_HEADERS = {"Expires", "X-Request-Id", "Content-Security-Policy", "Content-Length"}
pytestmark = pytest.mark.django_db(transaction=True)


def sign_up(client: Client, email: str):
    form = {"full_name": "Ada", "email": email, "password1": PASSWORD, "organization_name": "Engines"}
    return client.post("/accounts/signup/", form)


def shape(answer, email: str) -> tuple:
    """All that the answer tells, but what no two answers have in common."""
    cookies = [
        (cookie.key, cookie["path"], cookie["max-age"], cookie["httponly"], len(cookie.value))
        for cookie in answer.cookies.values()
    ]
    headers = {name: value for name, value in answer.headers.items() if name not in PERSONAL_HEADERS}
    text = re.sub(r'(name="csrfmiddlewaretoken" value=)"\w+"', r"\1", answer.content.decode())
    text = text.replace(answer.headers.get("X-Request-Id", "-"), "REQUEST")
    return answer.status_code, cookies, headers, text.replace(email, "EMAIL")


def walk(email: str) -> list[tuple]:
    """Sign up, look at the page, have the mail sent again, twice."""
    client = Client()
    answers = [sign_up(client, email), client.get(MAIL_SENT)]
    for _ in range(2):
        answers += [client.post(MAIL_SENT), client.get(MAIL_SENT)]
    assert get_user(client).is_anonymous
    return [shape(answer, email) for answer in answers]


def test_a_taken_address_is_answered_like_a_new_one():
    person(TAKEN)
    assert walk(TAKEN) == walk(FREE)
    assert User.objects.count() == 2
    outbox.sweep()
    subjects = {to: [sent.subject for sent in mail.outbox if sent.to == [to]] for to in (TAKEN, FREE)}
    assert subjects[TAKEN] == ["You already have an account"]
    assert len(subjects[FREE]) == 2


def test_a_taken_address_costs_as_much_as_a_new_one(settings):
    """In time of the processor, which other work on the machine does not change."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]
    person(TAKEN)

    def seconds(email: str) -> float:
        client = Client()
        begun = time.thread_time()
        sign_up(client, email)
        return time.thread_time() - begun

    seconds("first@engines.example")  # loads what is loaded once
    new = min(seconds(f"{number}@engines.example") for number in range(3))
    taken = min(seconds(TAKEN) for _ in range(3))
    assert 0.7 < taken / new < 1.3


def test_the_mail_is_sent_again_and_its_link_logs_in():
    client = Client()
    sign_up(client, FREE)
    assert "We sent an email to" in client.post(MAIL_SENT, follow=True).content.decode()
    assert "already sent the email" in client.post(MAIL_SENT, follow=True).content.decode()
    client.post(path_in_mail(FREE, "confirm-email"))
    assert get_user(client).email == FREE


def test_the_button_pressed_twice_still_lets_the_link_log_in():
    client = Client()
    sign_up(client, FREE)
    sign_up(client, FREE)
    client.post(path_in_mail(FREE, "confirm-email"))
    assert get_user(client).email == FREE


def test_a_sign_up_with_somebody_elses_address_opens_nothing():
    """Neither the account that has it, nor one that has signed up with it before and waits for its mail."""
    sign_up(Client(), FREE)
    stranger = Client()
    sign_up(stranger, FREE)
    assert stranger.post(path_in_mail(FREE, "confirm-email")).status_code == 422
    assert get_user(stranger).is_anonymous


def test_a_browser_that_waits_for_nothing_sends_nothing():
    assert "already sent the email" in Client().post(MAIL_SENT, follow=True).content.decode()
    outbox.sweep()
    assert mail.outbox == []


def test_the_page_leads_to_the_mailbox_of_a_developers_copy(settings):
    client = Client()
    sign_up(client, FREE)
    for mailbox in ("http://127.0.0.1:8100/_sandbox/mail", ""):
        settings.MAILBOX_URL = mailbox
        text = client.get(MAIL_SENT).content.decode()
        assert ("Open its mailbox" in text) == bool(mailbox)
        assert f'href="{mailbox}"' in text or not mailbox


def test_pages_that_are_opened_by_hand_claim_nothing_that_is_not_true():
    """ "We sent you a mail" and "this account does not work" were said to whoever opened their addresses."""
    page = Client().get(MAIL_SENT).content.decode()
    assert (
        "We sent" not in page and "If you have just signed up" in page and 'href="/accounts/signup/"' in page
    )
    assert Client().get("/accounts/inactive/").headers["Location"] == "/accounts/login/"
    user, client = person(FREE), Client()
    client.post("/accounts/login/", {"login": FREE, "password": PASSWORD})
    assert client.get("/accounts/inactive/").headers["Location"] == "/dashboard/"
    User.objects.filter(pk=user.pk).update(is_active=False)
    ended = Client()
    answer = ended.post("/accounts/login/", {"login": FREE, "password": PASSWORD}, follow=True)
    assert "This account does not work" in answer.content.decode()
    assert ended.get("/accounts/inactive/").status_code == 302
