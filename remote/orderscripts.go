package remote

import (
	"strconv"

	"github.com/redis/go-redis/v9"
)

// The fields of the head, of an entry of the log, and of a revision in the past.
const (
	orderHead  = "head" // JSON of a store.Head
	orderID    = "id"   // of the state: its stateID must be the same, else a part is lost
	orderChain = "c"
	orderText  = "e"
	orderSum   = "b" // bytes of all texts up to this one, for orderBytes

	// stateID is the one field of the state that is no record.
	stateID = "#id"
)

// What the scripts answer.
const (
	orderBehind   = 0 // the head is another
	orderDone     = 1
	orderRepeated = 2 // it was done before
	orderLost     = 3 // a part of the cluster's data is not there, or another's
)

// appendScript takes the head, the log, the state, the past and the claims; the
// expected and the new head, the entry id of the expected one, the number of
// entries, three arguments for each, and two for each record. Redis refuses it
// for want of memory, or as a replica, at its first write, so that it is done
// whole or not at all. Claims refuse it: a member brings newer data.
var appendScript = `
local now = redis.call('HGET', KEYS[1], '` + orderHead + `')
if now == ARGV[2] then
  redis.call('HSET', KEYS[1], '` + orderHead + `', now)
  return ` + strconv.Itoa(orderRepeated) + `
end
if now ~= ARGV[1] or redis.call('EXISTS', KEYS[5]) == 1 then return ` + strconv.Itoa(orderBehind) + ` end
local id = redis.call('HGET', KEYS[1], '` + orderID + `')
if not id or redis.call('HGET', KEYS[3], '` + stateID + `') ~= id then return ` + strconv.Itoa(orderLost) + ` end
local sum = 0
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if last and last[1] ~= ARGV[3] then
  redis.call('DEL', KEYS[2])
elseif last then
  for i = 1, #last[2], 2 do
    if last[2][i] == '` + orderSum + `' then sum = tonumber(last[2][i + 1]) or 0 end
  end
end
last = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)[1]
if last and last[1] ~= ARGV[3] then redis.call('DEL', KEYS[4]) end
local n = tonumber(ARGV[4])
local at = 5
for _ = 1, n do
  sum = sum + #ARGV[at + 2]
  redis.call('XADD', KEYS[2], ARGV[at], '` + orderChain + `', ARGV[at + 1], '` + orderText + `', ARGV[at + 2], '` + orderSum + `', string.format('%.0f', sum))
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', '` + strconv.Itoa(orderPast) + `', ARGV[at], '` + orderChain + `', ARGV[at + 1])
  at = at + 3
end
while at < #ARGV do
  if ARGV[at + 1] == '' then redis.call('HDEL', KEYS[3], ARGV[at])
  else redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1]) end
  at = at + 2
end
redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', ` + strconv.Itoa(orderEntries) + `)
for _ = 1, n + 10 do
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  local size = sum
  for i = 1, #first[2], 2 do
    if first[2][i] == '` + orderSum + `' then size = size - (tonumber(first[2][i + 1]) or sum) end
    if first[2][i] == '` + orderText + `' then size = size + #first[2][i + 1] end
  end
  if size <= ` + strconv.Itoa(orderBytes) + ` then break end
  redis.call('XDEL', KEYS[2], first[1])
end
redis.call('HSET', KEYS[1], '` + orderHead + `', ARGV[2])
return ` + strconv.Itoa(orderDone)

// touchScript writes what is there, so that the WAIT behind it is about all that
// was written before.
var touchScript = `
local now = redis.call('HGET', KEYS[1], '` + orderHead + `')
if now then redis.call('HSET', KEYS[1], '` + orderHead + `', now) end
return 1`

// entriesScript takes the log, a revision, how many entries and how many bytes:
// it answers the entries from that revision on, one at least.
var entriesScript = redis.NewScript(`
local out, size, from = {}, 0, tonumber(ARGV[1])
while true do
  local part = redis.call('XRANGE', KEYS[1], string.format('%.0f-0', from), '+', 'COUNT', 8)
  for _, e in ipairs(part) do
    for i = 1, #e[2] do size = size + #e[2][i] end
    if #out > 0 and size > tonumber(ARGV[3]) then return out end
    out[#out + 1] = e
    if #out >= tonumber(ARGV[2]) then return out end
  end
  if #part < 8 then return out end
  from = tonumber(string.match(part[#part][1], '^%d+')) + 1
end`)

// seedScript puts what was written beside in the place of what is there: the
// head, the log, the state, the past, the claims, and the three that were
// prepared; the expected head ("" for none), the new one, the state's id, and
// how much there must be of each. A new epoch replaces any head of the expected
// one.
var seedScript = redis.NewScript(`
local now = redis.call('HGET', KEYS[1], '` + orderHead + `') or ''
if now == ARGV[2] then return ` + strconv.Itoa(orderRepeated) + ` end
if now ~= ARGV[1] then
  if now == '' or ARGV[1] == '' then return ` + strconv.Itoa(orderBehind) + ` end
  local epoch = cjson.decode(now).epoch
  if epoch ~= cjson.decode(ARGV[1]).epoch or epoch >= cjson.decode(ARGV[2]).epoch then return ` + strconv.Itoa(orderBehind) + ` end
end
if redis.call('XLEN', KEYS[6]) ~= tonumber(ARGV[4])
  or redis.call('HLEN', KEYS[7]) ~= tonumber(ARGV[5])
  or redis.call('XLEN', KEYS[8]) ~= tonumber(ARGV[6]) then return ` + strconv.Itoa(orderLost) + ` end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
for i = 6, 8 do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('RENAME', KEYS[i], KEYS[i - 4])
    redis.call('PERSIST', KEYS[i - 4])
  end
end
redis.call('HSET', KEYS[1], '` + orderHead + `', ARGV[2], '` + orderID + `', ARGV[3])
return ` + strconv.Itoa(orderDone))

// claimScript takes the head and the claims; the expected head ("" for none), the
// incarnation, its head, for how many milliseconds a claim counts, and '1' where
// it is to hold the writes back by itself, else it counts beside others only. It
// answers 0, or all claims.
var claimScript = redis.NewScript(`
local head = redis.call('HGET', KEYS[1], '` + orderHead + `') or ''
if head ~= ARGV[1] or ARGV[5] ~= '1' and redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[2], ARGV[2], string.format('%.0f ', now) .. ARGV[3])
if ARGV[5] == '1' then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
local all, out = redis.call('HGETALL', KEYS[2]), {}
for i = 1, #all, 2 do
  local at, claim = string.match(all[i + 1], '^(%d+) (.*)$')
  if at and now - tonumber(at) < tonumber(ARGV[4]) then
    out[#out + 1] = all[i]
    out[#out + 1] = claim
  end
end
return out`)

// repairScript removes keys of ours that hold something else, and the head of a
// state that is not there: a member gives the cluster its own anew. It answers
// how many.
var repairScript = redis.NewScript(`
local types, n = {'hash', 'stream', 'hash', 'stream', 'hash'}, 0
for i, key in ipairs(KEYS) do
  local is = redis.call('TYPE', key).ok
  if is ~= 'none' and is ~= types[i] then redis.call('DEL', key) n = n + 1 end
end
local id = redis.call('HGET', KEYS[1], '` + orderID + `')
if redis.call('EXISTS', KEYS[1]) == 1 and (not id or redis.call('HGET', KEYS[3], '` + stateID + `') ~= id) then
  redis.call('DEL', KEYS[1])
  n = n + 1
end
return n`)
