"""The session engine."""

from datetime import timedelta

from django.contrib.sessions.models import Session
from django.utils import timezone

from superagent.foundation.session_store import SessionStore


def test_a_session_counts_until_it_expires(db: None) -> None:
    """The engine finds a session by its key and the present time, each time anew."""
    session = SessionStore()
    session["who"] = "Ada"
    session.create()
    assert SessionStore(session.session_key)["who"] == "Ada"
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    late = SessionStore(session.session_key)
    assert "who" not in late
    assert late.session_key is None  # never taken over by a key that was once valid
