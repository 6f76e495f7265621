-- Makes the requests of one kind of work, and prints the results as JSON.
-- Arguments: the method, the path, the body, the number of tasks, and a number that differs from run
-- to run. {id} is the id of a random task, {turn} of each task in turn. {number} is new in every request,
-- so every edit is a change. {toggled} and {toggle} complete some tasks and then reopen the same ones.

local method, path, body, tasks
local turn = 0

local function id(number)
  return string.format("00000000-0000-4000-8000-%012d", number % tasks + 1)
end

function init(arguments)
  method, path, body, tasks = arguments[1], arguments[2], arguments[3], tonumber(arguments[4])
  -- wrk makes one request that it does not send, before all others.
  turn = tonumber(arguments[5]) - 1
  math.randomseed(turn)
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  local block, place = math.floor(turn / 128), turn % 128
  local values = {
    id = id(math.random(tasks)),
    turn = id(turn),
    number = string.format("%d", turn),
    toggled = id(block * 64 + place % 64),
    toggle = place < 64 and "complete" or "incomplete",
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
