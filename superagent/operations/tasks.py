from celery import shared_task

from superagent.operations import backlogs


@shared_task
def alarm_of_late_work() -> int:
    """Every five minutes: raise an alarm for work that has been failing for an hour."""
    return backlogs.alarm()
