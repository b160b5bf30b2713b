from celery import shared_task

from superagent.operations import backlogs


@shared_task
def alarm_of_late_work() -> int:
    """Every five minutes: what has been tried for an hour without success is an alarm."""
    return backlogs.alarm()
