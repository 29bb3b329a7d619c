// The decision of gcra.ts as a script, so that read and write are one step for all servers, and one round trip. Times are
// microseconds of the Redis server's clock: those of its clients differ.
//
// KEYS[1]   one client on one counter
// ARGV      mode, cost or tokens, ban, continueExceeding, exponentialBackoff, then interval, burst, window a policy
// value     when it was written, then debt and strikes a policy
// answer    0 admitted | 1 refused | 2 banned, the policy that refuses, its wait, then the debt a policy
import { createHash } from 'node:crypto'

export const SCRIPT = `
local key, mode, amount = KEYS[1], ARGV[1], tonumber(ARGV[2])
local ban, continue, backoff = tonumber(ARGV[3]), ARGV[4] == '1', ARGV[5] == '1'
local count = (#ARGV - 5) / 3
local DAY, MOST = 86400000000, 31536000000000
if mode == 'reset' then
  redis.call('DEL', key)
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local written, values = now, {}
local kept = redis.pcall('GET', key)
if type(kept) == 'string' then
  local at = nil
  for word in string.gmatch(kept, '%S+') do
    if at == nil then at = tonumber(word) or now else values[#values + 1] = tonumber(word) or 0 end
  end
  written = at or now
elseif type(kept) == 'table' and kept.err then
  redis.call('DEL', key)
end

-- A server clock that was set back pays nothing off, and debts go on from there: none becomes longer by it.
local passed = math.max(0, now - written)
local interval, bursts, tolerance, window, price, debt, strikes = {}, {}, {}, {}, {}, {}, {}
for i = 1, count do
  local burst = tonumber(ARGV[4 + 3 * i])
  bursts[i] = burst
  interval[i], window[i] = tonumber(ARGV[3 + 3 * i]), tonumber(ARGV[5 + 3 * i])
  tolerance[i] = interval[i] * burst
  price[i] = interval[i] * math.min(mode == 'take' and amount or 1, math.max(1, burst))
  debt[i] = math.max(0, math.min((values[2 * i - 1] or 0), tolerance[i] + MOST) - passed)
  strikes[i] = debt[i] > 0 and values[2 * i] or 0
end

local dirty = mode == 'take' and now < written
if mode == 'add' then
  for i = 1, count do
    debt[i] = math.min(math.max(0, debt[i] + interval[i] * amount), tolerance[i] + MOST)
  end
  dirty = true
elseif mode == 'refund' then
  for i = 1, count do
    debt[i] = math.max(0, debt[i] - interval[i] * math.min(amount, math.max(1, bursts[i])))
  end
  dirty = true
end

local by, wait, outcome = 0, 0, 0
for i = 1, count do
  local needed = debt[i] + price[i] - tolerance[i]
  if bursts[i] == 0 then needed = window[i] end
  if needed > math.min(interval[i], 1000) / 1000 and needed > wait then
    by, wait = i, needed
  end
end
if by == 0 then
  if mode == 'take' then
    for i = 1, count do
      debt[i] = debt[i] + price[i]
      if ban ~= -1 and strikes[i] > ban then strikes[i] = 0 end
    end
    dirty = true
  end
else
  if mode == 'take' and (ban ~= -1 or continue or backoff) then
    strikes[by] = strikes[by] + 1
    local keep = 0
    if backoff then
      keep = math.min(window[by] * 2 ^ (strikes[by] - 1), math.max(window[by], DAY))
    elseif continue or strikes[by] == ban + 1 then
      keep = window[by]
    end
    if keep > wait then
      wait = keep
      debt[by] = keep + tolerance[by] - price[by]
    end
    if bursts[by] == 0 then debt[by] = math.max(debt[by], wait) end
    dirty = true
  end
  outcome = (ban ~= -1 and strikes[by] > ban) and 2 or 1
end

local longest = 0
for i = 1, count do longest = math.max(longest, debt[i]) end
local ttl = math.ceil(longest / 1000) + 1
if dirty and longest > 0 then
  local words = { string.format('%.0f', now) }
  for i = 1, count do
    words[#words + 1] = string.format('%.17g', debt[i])
    words[#words + 1] = string.format('%.0f', strikes[i])
  end
  redis.call('SET', key, table.concat(words, ' '), 'PX', string.format('%.0f', ttl))
elseif dirty then
  redis.call('DEL', key)
elseif mode == 'take' and redis.call('PTTL', key) == -1 then
  redis.call('PEXPIRE', key, string.format('%.0f', ttl))
end

local answer = { outcome, by, math.ceil(wait) }
for i = 1, count do answer[3 + i] = math.floor(debt[i]) end
return answer
`

export const SCRIPT_SHA = createHash('sha1').update(SCRIPT).digest('hex')
