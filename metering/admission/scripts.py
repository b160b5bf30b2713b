"""The Lua scripts of the request counters. Every key of a script carries the hash tag `{organization}`, so that they
run on a Redis Cluster too.

`{organization}:counter` is a hash:
  period, start   the usage period that is counted, and its start (µs of unix time)
  used            units used, for display; `left` decides what may be given out
  left, granted   units that it may still give out, and all that PostgreSQL ever granted it; -1: the quota is not hard
  out             µs of unix time until which PostgreSQL need not be asked for more: there is none
  expires         µs of unix time (real) from which it gives nothing out: PostgreSQL must be asked again
  run             the server that made it: after a restart or a failover it may have forgotten units
  seed            name of its allotment: `<line>.<turn>`. A unit is given back only to the allotment that it was taken
                  from; the line stays for as long as `used` goes on
  asked           µs of unix time at which a process began to ask PostgreSQL; the others wait for its result
  last            unix seconds of the last unit taken
  facts           what Python needs to answer, kept as one string: see charges.Facts
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


# KEYS: counter. ARGV: the caller's field, interval (µs between calls), burst (calls), run. Takes a unit. Returns
# {verdict, used, facts, calls left of the burst, µs to wait}; verdict: ok, rate, quota or ask (PostgreSQL).
CHARGE = Script("""
local counter = redis.call('HMGET', KEYS[1], 'used', 'left', 'expires', 'facts', ARGV[1], 'run')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
if not counter[1] or counter[6] ~= ARGV[4] or now >= tonumber(counter[3]) then return {'ask'} end
local interval = tonumber(ARGV[2])
local burst = tonumber(ARGV[3])
local arrival = tonumber(counter[5] or 0)
if arrival < now then arrival = now end
local used = tonumber(counter[1])
local left = tonumber(counter[2])
local latest = now + interval * burst
arrival = arrival + interval
if arrival > latest then return {'rate', used, counter[4], 0, math.ceil(arrival - latest)} end
local calls = math.floor((latest - arrival) / interval)
if left == 0 then
  if now >= tonumber(redis.call('HGET', KEYS[1], 'out') or 0) then return {'ask'} end
  return {'quota', used, counter[4], calls, 0}
end
used = used + 1
if left > 0 then left = left - 1 end
redis.call('HSET', KEYS[1], 'used', used, 'left', left, 'last', time[1], ARGV[1], string.format('%.0f', arrival))
return {'ok', used, counter[4], calls, 0}
""")

# KEYS: the caller's arrival time, by itself. ARGV: interval (µs between calls), burst (calls). The rate of calls that
# do not count: theirs alone, so that they are possible when the counter is not. Returns {calls left of the burst, µs
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

# KEYS: counter. ARGV: seed. Gives a unit back. Returns 0 when it is of an earlier allotment, which only PostgreSQL
# still knows.
REFUND = Script("""
local counter = redis.call('HMGET', KEYS[1], 'seed', 'left')
if not counter[1] or string.match(counter[1], '^[^.]*') ~= string.match(ARGV[1], '^[^.]*') then return 0 end
redis.call('HINCRBY', KEYS[1], 'used', -1)
if counter[1] ~= ARGV[1] then return 0 end
if tonumber(counter[2]) >= 0 then redis.call('HINCRBY', KEYS[1], 'left', 1) end
return 1
""")

# KEYS: counter. ARGV: run, 1 if that is certain. The first step of renewing a counter. Returns {state, seed,
# period, granted, units called in, seconds, µs}; state: good (renewed already), wait (being renewed), empty
# (more is needed of its allotment), due (its time is over: what it still had is called in) or lost (none, or
# another server's, which may have forgotten units).
LOOK = Script("""
local counter = redis.call('HMGET', KEYS[1], 'seed', 'period', 'granted', 'left', 'run', 'expires', 'out', 'asked')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local asked = tonumber(counter[8] or 0)
local state = 'good'
local left = 0
if not counter[1] or counter[5] ~= ARGV[1] then state = 'lost'
elseif now >= tonumber(counter[6]) then state = 'due'
elseif counter[4] == '0' and now >= tonumber(counter[7] or 0) then state = 'empty' end
if state ~= 'good' and asked <= now and now - asked < 500000 then state = 'wait' end
if state == 'due' then
  left = math.max(0, tonumber(counter[4]))
  if left > 0 then redis.call('HSET', KEYS[1], 'left', 0) end
end
if state == 'due' or state == 'empty' or (state == 'lost' and ARGV[2] == '1') then
  redis.call('HSET', KEYS[1], 'asked', string.format('%.0f', now))
  if not counter[1] then redis.call('EXPIRE', KEYS[1], 60) end
end
local granted = tonumber(counter[3] or 0)
return {state, counter[1] or '', counter[2] or '', granted, left, tonumber(time[1]), tonumber(time[2])}
""")

# KEYS: counter. ARGV: period, start, used, units granted (or -1), expires, seed, static facts, seconds to live, run,
# seed of the counter that it replaces, out. Returns whether it was made: an older period does not come back, and of two
# who make one the first has made it. A counter of the same line never falls below what it counted.
REBUILD = Script("""
local old = redis.call('HMGET', KEYS[1], 'period', 'start', 'used', 'seed', 'run')
local is_ours = old[5] == ARGV[9]
if is_ours and old[4] ~= ARGV[10] then return 0 end
if old[2] and tonumber(old[2]) > tonumber(ARGV[2]) then return 0 end
local used = tonumber(ARGV[3])
if is_ours and old[1] == ARGV[1] then used = math.max(used, tonumber(old[3])) end
redis.call('HSET', KEYS[1], 'period', ARGV[1], 'start', ARGV[2], 'used', used, 'left', ARGV[4], 'granted', ARGV[4],
           'expires', ARGV[5], 'seed', ARGV[6], 'facts', ARGV[6] .. '|' .. ARGV[7], 'run', ARGV[9], 'out', ARGV[11])
redis.call('HDEL', KEYS[1], 'asked')
redis.call('EXPIRE', KEYS[1], ARGV[8])
return 1
""")

# KEYS: counter. ARGV: seed, units granted in all, out. May come twice, and late: the total says what is new.
GRANT = Script("""
local counter = redis.call('HMGET', KEYS[1], 'seed', 'granted', 'left')
if counter[1] ~= ARGV[1] then return 0 end
local more = tonumber(ARGV[2]) - tonumber(counter[2])
if more > 0 then
  redis.call('HSET', KEYS[1], 'granted', ARGV[2], 'left', tonumber(counter[3]) + more)
else
  redis.call('HSET', KEYS[1], 'out', ARGV[3])
end
redis.call('HDEL', KEYS[1], 'asked')
return more
""")

# KEYS: counter. The next request asks PostgreSQL for period and terms; what was counted stays.
STALE = Script("""
if redis.call('HEXISTS', KEYS[1], 'used') == 1 then redis.call('HSET', KEYS[1], 'expires', 0) end
return 1
""")

# KEYS: counter. ARGV: period, units. Takes what is left to give out of them, for PostgreSQL; returns {seed, units}.
RECALL = Script("""
local counter = redis.call('HMGET', KEYS[1], 'period', 'seed', 'left')
if counter[1] ~= ARGV[1] then return {'', 0} end
local units = math.min(math.max(0, tonumber(counter[3])), tonumber(ARGV[2]))
if units > 0 then redis.call('HINCRBY', KEYS[1], 'left', -units) end
return {counter[2], units}
""")

# KEYS: counter. ARGV: seed, units. What was recalled and not needed.
RETURN = Script("""
if redis.call('HGET', KEYS[1], 'seed') ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[1], 'left', ARGV[2])
return 1
""")

# KEYS: counter. ARGV: period, difference (negative: there is room again, so PostgreSQL may be asked for more).
ADJUST = Script("""
if redis.call('HGET', KEYS[1], 'period') ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[1], 'used', ARGV[2])
if tonumber(ARGV[2]) < 0 then redis.call('HDEL', KEYS[1], 'out') end
return 1
""")

# KEYS: counter. ARGV: period, used by PostgreSQL, then pairs of seed and units just written to PostgreSQL.
# Units that were not taken from this line are unknown to it; nor may it know less than PostgreSQL.
RAISE = Script("""
local counter = redis.call('HMGET', KEYS[1], 'period', 'used', 'seed')
if counter[1] ~= ARGV[1] then return 0 end
local used = tonumber(counter[2])
local line = string.match(counter[3], '^[^.]*')
for i = 3, #ARGV, 2 do
  if string.match(ARGV[i], '^[^.]*') ~= line then used = used + tonumber(ARGV[i + 1]) end
end
used = math.max(used, tonumber(ARGV[2]))
if used ~= tonumber(counter[2]) then redis.call('HSET', KEYS[1], 'used', used) end
return used
""")

# KEYS: counter. ARGV: period, used by PostgreSQL, unix seconds. If nobody has called since then, PostgreSQL knows
# everything: units that a killed process took and never answered for are not used. Returns the difference.
RECONCILE = Script("""
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
# silent one is over. Returns whether there is room for this one, or it is in.
ENTER = Script("""
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
""")
