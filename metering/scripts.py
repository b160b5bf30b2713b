"""The Lua scripts of the request counters. Every key of a script carries the hash tag `{organization}`, so that they
run on a Redis Cluster too.

`{organization}:requests` is a hash:
  period, start   the usage period that is counted, and its start (unix seconds)
  used, limit     units used; the hard limit, or -1
  expires         µs of unix time (real) from which PostgreSQL must be asked again
  run             the run id of the server that made it: after a restart or a failover it may have forgotten units
  seed            a random name of this counter: a unit is given back only to the counter that it was taken from
  last            unix seconds of the last unit taken
  facts           what Python needs to answer, kept as one string: see counters.Facts
  rate:<caller>   the caller's theoretical arrival time (µs) in the generic cell rate algorithm
`{organization}:pace:<caller>` is that time for calls that do not count.
"""

from dataclasses import dataclass, field
from hashlib import sha1


@dataclass(frozen=True)
class Script:
    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", sha1(self.source.encode(), usedforsecurity=False).hexdigest())


# KEYS: counter. ARGV: the caller's field, interval (µs between calls), burst (calls), units wanted, reserve, run.
# Takes the units wanted, or one when that is too much for the rate or fewer than the reserve remain of a hard quota.
# Answers {verdict, used, facts, calls left of the burst, µs to wait, units}; verdict: ok, rate, quota or ask
# (PostgreSQL).
CHARGE = Script("""
local counter = redis.call('HMGET', KEYS[1], 'used', 'limit', 'expires', 'facts', ARGV[1], 'run')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
if not counter[1] or counter[6] ~= ARGV[6] or now >= tonumber(counter[3]) then return {'ask'} end
local interval = tonumber(ARGV[2])
local burst = tonumber(ARGV[3])
local arrival = tonumber(counter[5] or 0)
if arrival < now then arrival = now end
local used = tonumber(counter[1])
local limit = tonumber(counter[2])
local units = tonumber(ARGV[4])
if units > 1 and limit >= 0 and limit - used < tonumber(ARGV[5]) then units = 1 end
local latest = now + interval * burst
if units > 1 and arrival + interval * units > latest then units = 1 end
arrival = arrival + interval * units
if arrival > latest then return {'rate', used, counter[4], 0, math.ceil(arrival - latest), 0} end
local left = math.floor((latest - arrival) / interval)
if limit >= 0 and used >= limit then return {'quota', used, counter[4], left, 0, 0} end
used = used + units
redis.call('HSET', KEYS[1], 'used', used, 'last', time[1], ARGV[1], string.format('%.0f', arrival))
return {'ok', used, counter[4], left, 0, units}
""")

# KEYS: the caller's arrival time, by itself. ARGV: interval (µs between calls), burst (calls). The rate of calls that
# do not count: theirs alone, so that they are possible when the counter is not. Answers {calls left of the burst, µs
# to wait}.
PACE = Script("""
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval = tonumber(ARGV[1])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + interval
local latest = now + interval * tonumber(ARGV[2])
if arrival > latest then return {0, math.ceil(arrival - latest)} end
redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
return {math.floor((latest - arrival) / interval), 0}
""")

# KEYS: counter. ARGV: seed, units. Gives them back.
REFUND = Script("""
if redis.call('HGET', KEYS[1], 'seed') ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[1], 'used', -tonumber(ARGV[2]))
return 1
""")

# KEYS: counter. ARGV: run. Answers whether this server made the counter, and the time: {0 or 1, seconds, µs}.
LOOK = Script("""
local is_known = redis.call('HGET', KEYS[1], 'run') == ARGV[1]
local time = redis.call('TIME')
return {is_known and 1 or 0, tonumber(time[1]), tonumber(time[2])}
""")

# KEYS: counter. ARGV: period, start, used, limit, expires, seed, static facts, seconds to live, run.
# A counter of the same period keeps its seed and never falls below what it counted; an older period does not
# come back. What another server made may have forgotten units, so it is made anew: what was taken from it is added as
# it gets to PostgreSQL.
SEED = Script("""
local old = redis.call('HMGET', KEYS[1], 'period', 'start', 'used', 'seed', 'run')
local used = tonumber(ARGV[3])
local seed = ARGV[6]
if old[2] and tonumber(old[2]) > tonumber(ARGV[2]) then return 0 end
if old[1] == ARGV[1] and old[5] == ARGV[9] then
  seed = old[4]
  used = math.max(used, tonumber(old[3]))
end
redis.call('HSET', KEYS[1], 'period', ARGV[1], 'start', ARGV[2], 'used', used, 'limit', ARGV[4],
           'expires', ARGV[5], 'seed', seed, 'facts', seed .. '|' .. ARGV[7], 'run', ARGV[9])
redis.call('EXPIRE', KEYS[1], ARGV[8])
return 1
""")

# KEYS: counter. The next request asks PostgreSQL for period and terms; what was counted stays.
STALE = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'expires', 0) end
return 1
""")

# KEYS: counter. ARGV: period, quantities. Takes each that still fits, in order; answers a flag for each, or nothing
# when this counter counts another period or none.
TAKE = Script("""
local counter = redis.call('HMGET', KEYS[1], 'period', 'used', 'limit')
if counter[1] ~= ARGV[1] then return false end
local used = tonumber(counter[2])
local limit = tonumber(counter[3])
local flags = {}
for i = 2, #ARGV do
  local after = used + tonumber(ARGV[i])
  if limit >= 0 and after > limit then
    flags[#flags + 1] = 0
  else
    used = after
    flags[#flags + 1] = 1
  end
end
redis.call('HSET', KEYS[1], 'used', used)
return flags
""")

# KEYS: counter. ARGV: period, difference (negative: given back).
ADJUST = Script("""
if redis.call('HGET', KEYS[1], 'period') ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[1], 'used', ARGV[2])
return 1
""")

# KEYS: counter. ARGV: period, used by PostgreSQL, then pairs of seed and units just written to PostgreSQL.
# Units taken from a counter that was lost are unknown to its successor; nor may it know less than PostgreSQL.
HEAL = Script("""
local counter = redis.call('HMGET', KEYS[1], 'period', 'used', 'seed')
if counter[1] ~= ARGV[1] then return 0 end
local used = tonumber(counter[2])
for i = 3, #ARGV, 2 do
  if ARGV[i] ~= counter[3] then used = used + tonumber(ARGV[i + 1]) end
end
used = math.max(used, tonumber(ARGV[2]))
if used ~= tonumber(counter[2]) then redis.call('HSET', KEYS[1], 'used', used) end
return used
""")

# KEYS: counter. ARGV: period, used by PostgreSQL, unix seconds. If nobody has called since then, PostgreSQL knows
# everything: units that a killed process took and never answered for are given back. Answers the difference.
SETTLE = Script("""
local counter = redis.call('HMGET', KEYS[1], 'period', 'used', 'last')
if counter[1] ~= ARGV[1] then return 0 end
local used = tonumber(counter[2])
local known = tonumber(ARGV[2])
local quiet = tonumber(counter[3] or 0) <= tonumber(ARGV[3])
if used == known or (used > known and not quiet) then return 0 end
redis.call('HSET', KEYS[1], 'used', known)
return known - used
""")

# KEYS: the caller's open streams, by when they were last alive. ARGV: this stream, most streams, seconds after which a
# silent one is over. Answers whether there is room for this one, or it is in.
ENTER = Script("""
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
""")
