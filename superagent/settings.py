"""Settings of SuperAgent, read from the environment; .env.example explains every variable."""

import os
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from superagent import limits
from superagent.local import embedded
from superagent.local.embedded import slots
from superagent.operations import logs
from superagent.portal.reference import drawing

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(BASE_DIR / ".env")

# --- The product -----------------------------------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", default=False)
PORT = env.int("PORT", default=8000)
WEB_THREADS = env.int("WEB_THREADS", default=8)  # of each web process; DATABASE_POOL_SIZE must not be smaller
SANDBOX_PORT = env.int("SANDBOX_PORT", default=8100)
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data"))).resolve()
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
SANDBOX_URL = env.str("SANDBOX_URL", default=f"http://127.0.0.1:{SANDBOX_PORT}").rstrip("/")
IS_TESTING = "pytest" in sys.modules
IS_SECURE = PUBLIC_URL.startswith("https://")
IS_LAUNCHER = sys.argv[1:2] == ["dev"]  # starts and stops the embedded services itself, and uses neither
# Whether a missing key, PostgreSQL and Redis may be created here. The Makefile sets it; a server never does.
IS_LOCAL = IS_TESTING or IS_LAUNCHER or DEBUG or env.bool("LOCAL", default=False)

DEVELOPMENT_KEY = "insecure-development-key-that-is-refused-in-production-0123456789"
SECRET_KEY = env.str("SECRET_KEY", default=DEVELOPMENT_KEY)
if SECRET_KEY == DEVELOPMENT_KEY and (IS_SECURE or not IS_LOCAL):
    raise ImproperlyConfigured(
        "SECRET_KEY is missing: set it to 50 or more random characters (.env.example)."
    )
if not IS_LOCAL and "PUBLIC_URL" not in env.ENVIRON:
    raise ImproperlyConfigured(
        "PUBLIC_URL is missing: links in mails would lead to this machine, and cookies go without TLS (.env.example)."
    )
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[PUBLIC_URL])

# --- Apps: the floors, lowest first ----------------------------------------------------------------------------------

INSTALLED_APPS = [
    "superagent.portal",
    "superagent.operations",
    "superagent.local",
    "superagent.foundation",
    "accounts",
    "metering",
    "billing",
    "licensing",
    "superagent.operations.apps.AdminSiteConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.github",
    "allauth.socialaccount.providers.google",
    "allauth.usersessions",
    "anymail",
    "corsheaders",
    "django_celery_beat",
    "django_filters",
    "djstripe",
    "drf_spectacular",
    "rest_framework",
]
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Middleware ------------------------------------------------------------------------------------------------------

ROOT_URLCONF = "superagent.urls"
WSGI_APPLICATION = "superagent.wsgi.application"
ASGI_APPLICATION = "superagent.asgi.application"
MIDDLEWARE = [
    "superagent.foundation.middleware.RequestContext",
    "accounts.middleware.AuditContext",
    "billing.middleware.StripeBudget",
    "superagent.operations.middleware.AccessLog",
    "superagent.portal.middleware.AppendSlash",
    "superagent.portal.middleware.ErrorPages",
    "django.middleware.security.SecurityMiddleware",
    "superagent.foundation.middleware.Compression",
    "superagent.foundation.middleware.Cors",
    "metering.middleware.RequestMetering",
    "superagent.foundation.middleware.ApiBypassBegin",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "superagent.foundation.middleware.Sessions",
    "superagent.foundation.middleware.Locale",
    "superagent.foundation.middleware.Csrf",
    "superagent.foundation.middleware.Authentication",
    "accounts.middleware.SessionLimits",
    "superagent.foundation.middleware.LoginRequired",
    "accounts.middleware.AdminScope",
    "superagent.foundation.middleware.Messages",
    "accounts.middleware.PageLimits",
    "accounts.middleware.KnownBrowsers",
    "superagent.foundation.middleware.Clickjacking",
    "superagent.foundation.middleware.ContentSecurityPolicy",
    "allauth.account.middleware.AccountMiddleware",
    "superagent.portal.middleware.MethodNotAllowedPages",
    "superagent.foundation.middleware.ApiBypassEnd",
]
APPEND_SLASH = False
FORM_RENDERER = "superagent.foundation.rendering.FormRenderer"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context_processors.portal",
                "billing.context_processors.debt",
            ],
        },
    }
]

# --- PostgreSQL and Redis --------------------------------------------------------------------------------------------

# Without URLs, a local installation runs a PostgreSQL and a Redis of its own under DATA_DIR; tests have theirs beside
# them, which do not wait for the disk. DATABASE_URL logs in as app_web, DATABASE_OWNER_URL as app_owner (roles.sql).
DATABASE_URL = env.str("DATABASE_URL", default="")
DATABASE_OWNER_URL = env.str("DATABASE_OWNER_URL", default=DATABASE_URL)
REDIS_URL = env.str("REDIS_URL", default="")
# Tests that run at the same time share the servers; each process has a database and a Redis database of its own.
TEST_SLOT = slots.claim(DATA_DIR / "tests") if IS_TESTING else None
EMBEDDED_DATA_DIR = None if DATABASE_URL and REDIS_URL else DATA_DIR / "tests" if IS_TESTING else DATA_DIR
if EMBEDDED_DATA_DIR and not IS_LOCAL:
    # Starting an empty database instead would hide the mistake.
    raise ImproperlyConfigured("DATABASE_URL and REDIS_URL are missing: load the environment, or use make.")
if EMBEDDED_DATA_DIR and IS_LAUNCHER:
    DATABASE_URL = DATABASE_OWNER_URL = DATABASE_URL or "postgres:///"
elif EMBEDDED_DATA_DIR:
    services = embedded.start(EMBEDDED_DATA_DIR, durable=not IS_TESTING)
    REDIS_URL = REDIS_URL or services.redis_url
    if not DATABASE_URL:
        DATABASE_URL, DATABASE_OWNER_URL = services.database_url, services.database_owner_url
if TEST_SLOT is not None:
    REDIS_URL = urlsplit(REDIS_URL)._replace(path=f"/{TEST_SLOT}").geturl()

# These change tables or must see every row, so they log in as the owner.
OWNER_COMMANDS = {
    "changepassword",  # like createsuperuser, it first asks which migrations ran
    "createsuperuser",
    "dbshell",
    "dumpdata",
    "flush",
    "loaddata",
    "makemigrations",
    "migrate",
    "showmigrations",
}
IS_OWNER = len(sys.argv) > 1 and sys.argv[1] in OWNER_COMMANDS
DATABASE_POOL_SIZE = env.int(
    "DATABASE_POOL_SIZE", default=0
)  # web servers only: a pool does not survive a fork
_database = env.db_url_config(DATABASE_OWNER_URL if IS_OWNER else DATABASE_URL)
DATABASES = {
    "default": {
        **_database,
        "ENGINE": "superagent.foundation.postgres",
        "OWNER": env.db_url_config(DATABASE_OWNER_URL),
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": 0 if DATABASE_POOL_SIZE else 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "application_name": f"superagent {Path(sys.argv[0]).name}"[:63],  # in pg_stat_activity
            **_database.get("OPTIONS", {}),  # of the URL: ?sslmode=verify-full
        },
        # A transaction pooler (PgBouncer) gives every transaction another connection: no cursor may outlive one.
        "DISABLE_SERVER_SIDE_CURSORS": env.bool("DATABASE_IS_POOLED", default=False),
    }
}
if TEST_SLOT is not None:
    DATABASES["default"]["NAME"] = f"test_{TEST_SLOT}"
if DATABASE_POOL_SIZE:
    # There is a connection for each thread, so a thread that has to wait for one waits for a database that is down.
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": DATABASE_POOL_SIZE, "timeout": 5}
CACHES = {
    "default": {
        "BACKEND": "superagent.foundation.caches.ForgivingRedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
        "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},  # as foundation.redis_client
    }
}

# --- Metering --------------------------------------------------------------------------------------------------------

SPOOL_DIR = Path(env.str("SPOOL_DIR", default=str(DATA_DIR / "spool"))).resolve()
SHIP_SPOOL_IN_WEB = env.bool("SHIP_SPOOL_IN_WEB", default=False)  # where web and worker do not share a disk
API_RATE_PER_SECOND = env.int("API_RATE_PER_SECOND", default=500)  # for each API key or member
API_RATE_BURST = env.int("API_RATE_BURST", default=1000)
REQUEST_RETENTION_MONTHS = env.int("REQUEST_RETENTION_MONTHS", default=13)
if TEST_SLOT is not None:
    SPOOL_DIR = DATA_DIR / "tests" / f"spool-{TEST_SLOT}"

# --- Celery ----------------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "superagent.schedule:Scheduler"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

# --- Authentication --------------------------------------------------------------------------------------------------

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "full_name")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "accounts.password_rules.OrnamentedPasswordValidator"},
    {"NAME": "accounts.password_rules.ContextPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["accounts.backends.Backend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "optional"  # an unverified address may log in, but not buy
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_FORMS = {
    "signup": "accounts.forms.SignUpForm",
    "reset_password": "accounts.forms.ResetPasswordForm",
    "reset_password_from_key": "accounts.forms.ResetPasswordKeyForm",
}
MFA_FORMS = {
    "authenticate": "accounts.forms.SecondStepForm",
    "reauthenticate": "accounts.forms.SecondStepAgainForm",
    "login_webauthn": "accounts.forms.PasskeyForm",
    "authenticate_webauthn": "accounts.forms.PasskeyStepForm",
    "reauthenticate_webauthn": "accounts.forms.PasskeyAgainForm",
}
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # nobody gets a mail because someone else typed their address
ACCOUNT_EMAIL_NOTIFICATIONS = True  # a changed password, address or second factor is mailed to its owner
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGIN_ON_PASSWORD_RESET = False
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # before what would let a thief of a session keep the account
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_LOGOUT_REDIRECT_URL = "landing"
ALLAUTH_TRUSTED_PROXY_COUNT = env.int(
    "TRUSTED_PROXY_COUNT", default=int(env.bool("BEHIND_PROXY", default=False))
)
# Google and GitHub are offered when both their variables are set.
SOCIALACCOUNT_PROVIDERS = {
    provider: {
        "APPS": [{"client_id": client_id, "secret": env.str(f"{provider.upper()}_CLIENT_SECRET"), "key": ""}]
    }
    for provider in ("google", "github")
    if (client_id := env.str(f"{provider.upper()}_CLIENT_ID", default=""))
}
SOCIALACCOUNT_ADAPTER = "accounts.adapters.SocialAccountAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False  # an address at a provider never opens an account that exists here
SOCIALACCOUNT_STORE_TOKENS = False
MFA_TOTP_ISSUER = "SuperAgent"
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PUBLIC_URL.startswith("https://")  # on loopback, without TLS
MFA_ADAPTER = "accounts.adapters.MfaAdapter"
THROTTLES = limits.THROTTLES
ACCOUNT_RATE_LIMITS, MFA_RATE_LIMITS = limits.OF_ALLAUTH_ACCOUNT, limits.OF_ALLAUTH_MFA
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
# Staff: see accounts/staff_access.py. Without a second factor only on a developer's machine (`make run`).
ADMIN_SECOND_FACTOR = env.bool("ADMIN_SECOND_FACTOR", default=True)
ADMIN_NETWORKS = env.list("ADMIN_NETWORKS", default=[])  # CIDR; empty: the admin may be entered from anywhere
if not ADMIN_SECOND_FACTOR and (IS_SECURE or not IS_LOCAL):
    raise ImproperlyConfigured(
        "ADMIN_SECOND_FACTOR is off, so a password alone would open the admin: remove the variable."
    )
USERSESSIONS_ADAPTER = "accounts.adapters.SessionsAdapter"
USERSESSIONS_TRACK_ACTIVITY = False

# --- The API ---------------------------------------------------------------------------------------------------------

# The largest body that any view takes: a batch of usage events. Others take less by themselves (max_body_bytes); Django
# refuses what is longer wherever a whole body is read.
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "metering.authentication.MeteredKeyAuthentication",
        "accounts.authentication.JwtAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.HasAccess"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "superagent.foundation.negotiation.SingleRendererNegotiation",
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_THROTTLE_CLASSES": ["metering.throttles.RequestQuota"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["superagent.foundation.json_bodies.JsonBody"],
    "DEFAULT_PAGINATION_CLASS": "superagent.foundation.pagination.CursorPages",
    "DEFAULT_FILTER_BACKENDS": ["superagent.foundation.filters.StrictFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "superagent.foundation.schema.OperationSchema",
    "EXCEPTION_HANDLER": "superagent.foundation.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=30),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
    "USER_ID_CLAIM": "sub",
    "TOKEN_TYPE_CLAIM": "type",
}
SPECTACULAR_SETTINGS = drawing.OF_SPECTACULAR
CORS_URLS_REGEX = r"^/api/(?!docs)"
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_ALLOW_METHODS = ("GET", "POST", "PATCH", "DELETE", "OPTIONS")
CORS_ALLOW_HEADERS = [
    "accept", "authorization", "content-type", "idempotency-key", "if-none-match", "last-event-id", "x-organization-id",
    "x-request-id",
]  # fmt: skip
CORS_EXPOSE_HEADERS = [
    "ETag", "Idempotent-Replayed", "Link", "RateLimit", "RateLimit-Policy", "Retry-After", "SuperAgent-Signature",
    "WWW-Authenticate", "X-Request-Id",
]  # fmt: skip

# --- Stripe ----------------------------------------------------------------------------------------------------------

STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_USES_SANDBOX = not STRIPE_SECRET_KEY
STRIPE_LIVE_MODE = STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
STRIPE_API_VERSION = "2026-05-27.dahlia"
STRIPE_API_HOST = env.str("STRIPE_API_HOST", default=SANDBOX_URL if STRIPE_USES_SANDBOX else "")
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="")
STRIPE_TIMEOUT_SECONDS = env.int("STRIPE_TIMEOUT_SECONDS", default=10)
CHARGING_ENABLED = env.bool("CHARGING_ENABLED", default=True)  # the kill switch: nothing is sold or invoiced
if STRIPE_USES_SANDBOX:
    STRIPE_SECRET_KEY = "sk_test_sandboxsandboxsandboxsandbox"
STRIPE_TEST_SECRET_KEY = "" if STRIPE_LIVE_MODE else STRIPE_SECRET_KEY
STRIPE_LIVE_SECRET_KEY = STRIPE_SECRET_KEY if STRIPE_LIVE_MODE else ""
DJSTRIPE_SUBSCRIBER_MODEL = "accounts.Organization"
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
if not STRIPE_API_HOST:
    del STRIPE_API_HOST

# --- Mail ------------------------------------------------------------------------------------------------------------

DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="SuperAgent <hello@superagent.example>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
SUPPORT_EMAIL = env.str("SUPPORT_EMAIL", default="support@superagent.example")  # where customers write to
MAIL_ENABLED = env.bool("MAIL_ENABLED", default=True)  # the kill switch: mails wait in the outbox
EMAIL_URL = env.str("EMAIL_URL", default="")  # smtp+tls://user:password@host:587
EMAIL_BACKEND = env.str("EMAIL_BACKEND", default="anymail.backends.postmark.EmailBackend")
if EMAIL_URL:
    vars().update(env.email_url("EMAIL_URL"))
POSTMARK_SERVER_TOKEN = env.str("POSTMARK_SERVER_TOKEN", default="")
MAIL_USES_SANDBOX = EMAIL_BACKEND == "anymail.backends.postmark.EmailBackend" and not POSTMARK_SERVER_TOKEN
MAILBOX_URL = (
    f"{SANDBOX_URL}/_sandbox/mail" if MAIL_USES_SANDBOX else ""
)  # where pages say that mail can be read
ANYMAIL = {
    "POSTMARK_SERVER_TOKEN": POSTMARK_SERVER_TOKEN or "sandbox",
    "REQUESTS_TIMEOUT": (3, 10),
} | ({} if POSTMARK_SERVER_TOKEN else {"POSTMARK_API_URL": f"{SANDBOX_URL}/postmark/"})

# --- Words, time and files -------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "superagent" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or IS_TESTING
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- Safety ----------------------------------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # Stripe's hosted pages are reached by a redirect after a form post, which form-action governs too.
        "form-action": [
            SELF,
            *(
                [SANDBOX_URL]
                if STRIPE_USES_SANDBOX
                else ["https://checkout.stripe.com", "https://billing.stripe.com"]
            ),
        ],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=IS_SECURE)
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]  # for health checks, which bypass the proxy
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000 if IS_SECURE else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_SECURE
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", default=False) else None
)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_SECURE
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
# Browsers accept this name from this host over TLS only, so no other host under the domain can set the cookie.
COOKIE_PREFIX = "__Host-" if IS_SECURE else ""
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}sessionid", f"{COOKIE_PREFIX}csrftoken"
SESSION_ENGINE = "superagent.foundation.session_store"
SESSION_COOKIE_AGE = 14 * 24 * 3600
CSRF_FAILURE_VIEW = "superagent.portal.error_pages.csrf_failed"
SECURITY_CONTACT = env.str(
    "SECURITY_CONTACT", default="security@superagent.example"
)  # for /.well-known/security.txt
# W002 and W003 look for the middleware's own names; ours wrap them (foundation.middleware.pages_only), and tests look
# at the header and the refusal. djstripe.W002 warns of a stand-in for Stripe; superagent.W002 does so in production.
SILENCED_SYSTEM_CHECKS = ["security.W002", "security.W003", "djstripe.W002"]

# --- Licenses --------------------------------------------------------------------------------------------------------

# Both may list several secrets, newest first. Empty: made once under DATA_DIR, which is refused in production.
LICENSE_ENCRYPTION_KEY = env.str("LICENSE_ENCRYPTION_KEY", default="")
LICENSE_SIGNING_KEY = env.str("LICENSE_SIGNING_KEY", default="")
# Requests of control panels a minute: by license key, and by network for unknown keys.
LICENSE_QUESTIONS_PER_KEY = env.int("LICENSE_QUESTIONS_PER_KEY", default=600)
LICENSE_UNKNOWN_PER_NETWORK = env.int("LICENSE_UNKNOWN_PER_NETWORK", default=60)

# --- Logs, errors and metrics ----------------------------------------------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
ACCESS_LOG = env.bool("ACCESS_LOG", default=not IS_TESTING)
LOGGING = logs.configuration(is_readable=DEBUG, level=LOG_LEVEL)
SENTRY_DSN = env.str("SENTRY_DSN", default="")
if SENTRY_DSN:
    logs.report_errors(
        dsn=SENTRY_DSN,
        environment=env.str("SENTRY_ENVIRONMENT", default="production" if IS_SECURE else "development"),
        traces_share=env.float("SENTRY_TRACES_SHARE", default=0.0),
    )
METRICS_TOKEN = env.str(
    "METRICS_TOKEN", default=""
)  # bearer token for /metrics; without it, only this machine may read them
if not IS_TESTING:
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(DATA_DIR / "metrics"))
    Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir(parents=True, exist_ok=True)
