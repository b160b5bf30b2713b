"""Ports: the default answers until an upper layer provides its own function."""

from superagent.foundation.ports import Port


def test_the_default_answers_until_another_function_is_provided() -> None:
    @Port
    def greeting(name: str) -> str:
        """What the port is asked."""
        return f"nobody greets {name}"

    assert greeting("Ada") == "nobody greets Ada"
    greeting.provide(lambda name: f"Hello, {name}")
    assert greeting("Ada") == "Hello, Ada"
    assert (greeting.__name__, greeting.__doc__) == ("greeting", "What the port is asked.")
