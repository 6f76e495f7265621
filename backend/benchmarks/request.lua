-- Makes the requests of one kind of work, and prints what came of them as JSON.
-- Arguments: the method, the path, the body, and the number of tasks. {id} is a random task's id,
-- {turn} each task's in turn, {toggle} completes every task and then reopens every one.

local method, path, body, tasks
local turn = 0

local function id(number)
  return string.format("00000000-0000-4000-8000-%012d", number)
end

function init(arguments)
  method, path, body, tasks = arguments[1], arguments[2], arguments[3], tonumber(arguments[4])
  math.randomseed(1)
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  local values = {
    id = id(math.random(tasks)),
    turn = id(turn % tasks + 1),
    toggle = math.floor(turn / tasks) % 2 == 0 and "complete" or "incomplete",
    number = turn,
  }
  turn = turn + 1
  local sent = body ~= "" and body:gsub("{(%w+)}", values) or nil
  return wrk.format(method, (path:gsub("{(%w+)}", values)), nil, sent)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "failures": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
