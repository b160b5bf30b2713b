"""The Celery application: reads the settings that begin with CELERY_ and finds the tasks of every app.

Queues, so that one kind of work cannot hold up another:
- `default`: short work, most of it deliveries from the outbox, mail above all;
- `payments`: deliveries that call Stripe;
- `webhooks`: events from outside systems that customers wait for; processing them calls Stripe, too;
- `bulk`: rollups, invoice runs and exports, which may take minutes.

Two workers, because a queue alone reserves no process: one for PAYING, which may wait for Stripe, one for the rest.

A task that belongs elsewhere than on `default` is named in ROUTES, and nowhere else: beat, a nudge and `.delay()` all
follow it. Tasks are acknowledged after they ran, and
redelivered when a worker is lost, so every task may run twice and must have its effect once.
"""

import os
from typing import Any

import structlog
from celery import Celery, Task, signals
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "superagent.settings")

WORKING = ("default", "bulk")
PAYING = ("payments", "webhooks")
QUEUES = (*WORKING, *PAYING)
ROUTES = {
    "billing.tasks.process_webhooks": "webhooks",
    "billing.tasks.sweep_webhooks": "webhooks",
    "billing.tasks.catch_up_webhooks": "payments",
    "billing.tasks.reconcile_webhooks": "payments",
    "billing.tasks.sweep_payments": "payments",
    "billing.tasks.collect_overage": "bulk",
    "billing.tasks.check_overage": "bulk",
    "billing.tasks.forget_webhooks": "bulk",
    "licensing.tasks.forget_old_license_records": "bulk",
    "metering.tasks.aggregate_usage": "bulk",
    "metering.tasks.close_periods": "bulk",
    "metering.tasks.reconcile_use": "bulk",
    "metering.tasks.turn_partitions": "bulk",
    "superagent.foundation.tasks.forget_done_messages": "bulk",
}
SOFT_LIMIT_SECONDS = 300
HARD_LIMIT_SECONDS = 330

app = Celery("superagent", task_cls="superagent.foundation.tenancy:TenantTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    # Each with its own routing key: with a shared one Redis would deliver a message to every queue.
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
    task_routes={task: {"queue": queue} for task, queue in ROUTES.items()},
    task_default_queue="default",
    task_default_exchange="default",
    task_default_routing_key="default",
    task_soft_time_limit=SOFT_LIMIT_SECONDS,
    task_time_limit=HARD_LIMIT_SECONDS,
    worker_prefetch_multiplier=1,  # with late acknowledgement a prefetched task would wait behind a long one
    worker_max_tasks_per_child=1000,
    worker_hijack_root_logger=False,
    # Redis hands a lost worker's task to another one after this time; it must exceed the longest task.
    broker_transport_options={"visibility_timeout": HARD_LIMIT_SECONDS + 60, "socket_connect_timeout": 2},
    task_publish_retry=False,  # the outbox row is safe: a broker that is down must not hold up a request
)
app.autodiscover_tasks()
app.set_default()  # for every thread of a web server, not only the one that imported this

REQUEST_ID = "request_id"


@signals.before_task_publish.connect
def _send_request_id(headers: dict[str, Any], **kwargs: Any) -> None:
    """Send the id of the request that caused the task in its headers; tasks sent by tasks keep the first one."""
    if request_id := structlog.contextvars.get_contextvars().get(REQUEST_ID):
        headers[REQUEST_ID] = request_id


@signals.task_prerun.connect
def _bind_request_id(task: Task, **kwargs: Any) -> None:
    """Bind that id to the task's log lines and error reports."""
    structlog.contextvars.clear_contextvars()
    if request_id := task.request.get(REQUEST_ID):
        structlog.contextvars.bind_contextvars(request_id=request_id)
