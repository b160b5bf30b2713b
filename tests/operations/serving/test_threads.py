"""Jobs run in the order in which they came, in as many threads as are allowed."""

from __future__ import annotations

import threading

from superagent.operations.serving.threads import Threads

PATIENCE_SECONDS = 30


class Job:
    def __init__(self, name: int, log: list[int], may_end: threading.Event) -> None:
        self._name = name
        self._log = log
        self._may_end = may_end
        self.has_begun, self.has_ended = threading.Event(), threading.Event()

    def run(self) -> None:
        self._log.append(self._name)
        self.has_begun.set()
        assert self._may_end.wait(PATIENCE_SECONDS)
        self.has_ended.set()


def test_jobs_run_in_order_and_threads_are_reused() -> None:
    threads, log, may_end = Threads(2), [], threading.Event()
    jobs = [Job(number, log, may_end) for number in range(20)]
    at_once = [threads.submit(job) for job in jobs]
    assert at_once == [True, True] + [False] * 18
    assert all(job.has_begun.wait(PATIENCE_SECONDS) for job in jobs[:2])
    assert sorted(log) == [0, 1]
    may_end.set()
    assert all(job.has_ended.wait(PATIENCE_SECONDS) for job in jobs)
    # Two threads may overtake each other between taking a job and saying so, by one.
    assert all(abs(place - number) <= 1 for place, number in enumerate(log))
    threads.close()


def test_one_thread_keeps_the_order_exactly() -> None:
    threads, log, may_end = Threads(1), [], threading.Event()
    jobs = [Job(number, log, may_end) for number in range(50)]
    for job in jobs:
        threads.submit(job)
    may_end.set()
    assert jobs[-1].has_ended.wait(PATIENCE_SECONDS)
    assert log == list(range(50))
    threads.close()


def test_a_thread_is_free_again_when_its_job_has_ended() -> None:
    threads, may_end = Threads(1), threading.Event()
    may_end.set()
    assert threads.submit(Job(1, [], may_end)) is True
    assert threads.submit(Job(2, [], may_end)) is False
    threads.ended()
    threads.ended()
    assert threads.submit(Job(3, [], may_end)) is True
    threads.close()


def test_threads_end_after_what_they_were_given() -> None:
    before = set(threading.enumerate())
    threads, may_end = Threads(3), threading.Event()
    jobs = [Job(number, [], may_end) for number in range(6)]
    for job in jobs:
        threads.submit(job)
    threads.close()
    may_end.set()
    started = set(threading.enumerate()) - before
    for thread in started:
        thread.join(PATIENCE_SECONDS)
    assert len(started) <= 3
    assert all(job.has_ended.is_set() for job in jobs)
    assert not any(thread.is_alive() for thread in started)
