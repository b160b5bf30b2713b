"""The Lua scripts: what each does is tested where it is called."""

import pytest

from metering.admission import redis_wire, scripts

SCRIPTS = {name: value for name, value in vars(scripts).items() if isinstance(value, scripts.Script)}


@pytest.mark.parametrize("name", SCRIPTS)
def test_redis_knows_a_script_by_the_name_that_we_call_it(name: str) -> None:
    """And so it compiles, and EVALSHA finds what was loaded."""
    [sha] = redis_wire.send(redis_wire.pack("SCRIPT", "LOAD", SCRIPTS[name].source), 1)
    assert sha.decode() == SCRIPTS[name].sha


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_reads_the_clock_of_redis_and_names_no_key_by_itself(name: str) -> None:
    """Redis Cluster runs a script where its KEYS are: it may use no other."""
    calls = [part.split(")")[0] for part in SCRIPTS[name].source.split("redis.call(")[1:]]
    assert calls
    for call in calls:
        assert call.startswith("'TIME'") or ", KEYS[1]" in call
