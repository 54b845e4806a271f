"""What runs inside Redis, each script as one step: `cache` says what the keys mean."""

ADD_EVENTS = """
local keep, ttl, rebuilt = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'rebuilt'
if rebuilt then
  -- A writer that slept since it read the stores must not put its list in place of a newer one.
  local known = redis.call('HGET', KEYS[2], 'sequence') or redis.call('GET', KEYS[3])
  if known and tonumber(known) > tonumber(ARGV[4]) then return 1 end
  redis.call('DEL', KEYS[1], KEYS[2])
end
local complete = redis.call('HGET', KEYS[2], 'complete')
local whole = rebuilt or (complete and tonumber(complete) == redis.call('ZCARD', KEYS[1]))
for i = 5, #ARGV, 3 do
  -- Of one event id the newest time stays, then the first arrival: as in the stores.
  if redis.call('ZADD', KEYS[1], 'GT', 'CH', ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('HSET', KEYS[2], ARGV[i + 1], ARGV[i + 2])
  end
end
local over = redis.call('ZRANGE', KEYS[1], 0, -keep - 1)
for _, id in ipairs(over) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
end
if whole then
  redis.call('HSET', KEYS[2], 'complete', redis.call('ZCARD', KEYS[1]))
else
  redis.call('HDEL', KEYS[2], 'complete')
end
if tonumber(redis.call('HGET', KEYS[2], 'sequence') or 0) < tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[2], 'sequence', ARGV[4])
end
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('EXPIRE', KEYS[2], ttl)
return whole and 1 or 0
"""

CLEAR_IF = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
"""

SET_POSITION = """
local known = redis.call('HGET', KEYS[1], 'sequence')
if known and tonumber(known) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'sequence', ARGV[1], 'value', ARGV[2], 'event_count', ARGV[3])
redis.call('EXPIRE', KEYS[1], tonumber(ARGV[4]))
return 1
"""

ADVANCE = """
local known = redis.call('GET', KEYS[1])
if ARGV[3] == 'next' and (known or '') ~= ARGV[4] then return 0 end
if known and tonumber(known) > tonumber(ARGV[1]) then return 0 end
if known and ARGV[3] == 'next' then
  redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
else
  -- It expires before any key that only a rebuild renews, and so brings the rebuild about.
  redis.call('SET', KEYS[1], ARGV[1], 'EX', math.ceil(tonumber(ARGV[2]) / 2))
end
return 1
"""
