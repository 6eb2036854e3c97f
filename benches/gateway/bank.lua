-- Drives the bank itself: a fresh order number for each charge. The first number of each thread
-- comes from the run's name and the thread's place, so that no two runs send the same one.
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("place", threads)
end
function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  prefix = string.format("%s%02d", args[1], place)
  count = 0
end
function request()
  count = count + 1
  local body = string.format(
    '{"merchantId":"777290058110097","orderNo":"%s%09d","sentAt":"20260101120000","amount":1234,' ..
    '"currency":"CNY","card":{"number":"6216261000000000018"}}', prefix, count)
  return wrk.format(nil, nil, nil, body)
end
local bad = 0
function response(status, headers, body)
  if status ~= 200 then bad = bad + 1 end
end
