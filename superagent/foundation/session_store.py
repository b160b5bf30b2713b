"""The SESSION_ENGINE: Django's sessions in the database, found by a prepared query."""

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils import timezone

from superagent.foundation.prepared import Given, Prepared

_valid: Prepared[Session] = Prepared(
    lambda: Session.objects.filter(session_key=Given("key"), expire_date__gt=Given("now"))
)


class SessionStore(db.SessionStore):
    def _get_session_from_db(self) -> Session | None:
        found = _valid.first(key=self.session_key, now=timezone.now())
        if found is None:
            self._session_key = None
        return found
