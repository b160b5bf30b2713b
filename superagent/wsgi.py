"""Pages and API without streams, for granian or any other WSGI server behind nginx (docs/deployment)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "superagent.settings")

application = get_wsgi_application()
