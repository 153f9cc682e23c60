package remote

import (
	"strconv"

	"github.com/redis/go-redis/v9"
)

// bornAbove is by how much a counter that is not there begins above its floor: more
// than a member counts between two looks. A command whose answer is lost may make a
// bucket anew that was lost: a look at it sees that from the counter.
const bornAbove = 1 << 20

// parseLua reads the registrations of a user, see Registration.value; what does
// not parse is left out. raise sets the counter above what it is and above
// floor, the highest that the member has ever been told, so that no state that
// comes back later has a counter as high; it answers what the counter was.
var parseLua = `
local function parse(v)
  local list, at = {}, 1
  while v and at <= #v do
    local n = string.byte(v, at + 32)
    local c = n and string.byte(v, at + 33 + n)
    if not c or at + 33 + n + c > #v then break end
    list[#list+1] = {inc = string.sub(v, at, at + 15), sess = string.sub(v, at + 16, at + 31), id = string.sub(v, at + 33, at + 32 + n), conn = string.sub(v, at + 34 + n, at + 33 + n + c), text = string.sub(v, at, at + 33 + n + c)}
    at = at + 34 + n + c
  end
  return list
end
local function store(list)
  local all = {}
  for i, r in ipairs(list) do all[i] = r.text end
  local text = table.concat(all)
  if text == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], text) end
end
local function raise(floor)
  local was = tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or 0)
  local count = math.max(was, tonumber(floor)) + 1
  if was == 0 then count = count + ` + strconv.Itoa(bornAbove) + ` end
  redis.call('HSET', KEYS[1], ARGV[2], count)
  return count, was
end
`

// registerScript adds a socket to its user: the bucket; the field, the counter,
// the socket's value, id, incarnation, session and connection, the limit, the
// floor of the counter, and whose sockets do not count. A socket with the same
// connection id and session is replaced. It answers {0, count, was}, {1, count,
// was, id, incarnation of the replaced}, {2, 0, 0, incarnations} for a duplicate
// or {3, 0, 0, incarnations} for too many; count is the counter's, and was what it
// was before.
var registerScript = redis.NewScript(parseLua + `
local gone = {}
for i = 10, #ARGV do gone[ARGV[i]] = true end
local kept, n, old, holders = {}, 0, nil, {}
for _, r in ipairs(parse(redis.call('HGET', KEYS[1], ARGV[1]))) do
  local keep = true
  if r.id == ARGV[4] then
    keep = false
  elseif gone[r.inc] then
  elseif r.conn == ARGV[7] then
    if r.sess ~= ARGV[6] then return {2, 0, 0, r.inc} end
    old, keep = r, false
  else
    n = n + 1
    holders[#holders+1] = r.inc
  end
  if keep then kept[#kept+1] = r end
end
if n >= tonumber(ARGV[8]) then return {3, 0, 0, unpack(holders)} end
kept[#kept+1] = {text = ARGV[3]}
store(kept)
local count, was = raise(ARGV[9])
if old then return {1, count, was, old.id, old.inc} end
return {0, count, was}`)

// putScript adds a socket whatever else its user has, or moves nothing where it
// is there: the bucket; the field, the counter, the value, the id and the floor.
// It answers the counter, what it was, and whether the socket was missing.
var putScript = redis.NewScript(parseLua + `
local list, missing = parse(redis.call('HGET', KEYS[1], ARGV[1])), 1
for _, r in ipairs(list) do
  if r.id == ARGV[4] then missing = 0 end
end
if missing == 1 then
  list[#list+1] = {text = ARGV[3]}
  store(list)
end
local was = tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or 0)
local count = was
if missing == 1 or was == 0 then count = raise(ARGV[5]) end
return {count, was, missing}`)

// removeScript removes a socket: the bucket; the field, the counter, the id and
// the floor. It answers the counter, and what it was.
var removeScript = redis.NewScript(parseLua + `
local kept, found = {}, 0
for _, r in ipairs(parse(redis.call('HGET', KEYS[1], ARGV[1]))) do
  if r.id == ARGV[3] then found = 1 else kept[#kept+1] = r end
end
if found == 0 then
  local was = tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or 0)
  return {was, was}
end
store(kept)
return {raise(ARGV[4])}`)

// purgeScript removes the sockets of a member from one user: the bucket; the
// field and the incarnation.
var purgeScript = redis.NewScript(parseLua + `
local kept = {}
for _, r in ipairs(parse(redis.call('HGET', KEYS[1], ARGV[1]))) do
  if r.inc ~= ARGV[2] then kept[#kept+1] = r end
end
store(kept)
return 1`)
