-- Drives Switchyard: a fresh order id for each payment.
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("place", threads)
end
function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. args[2]
  prefix = string.format("%s-%d-", args[1], place)
  count = 0
end
function request()
  count = count + 1
  local body = string.format(
    '{"order_id":"%s%d","merchant_id":"m-1","amount":1234,"currency":"CNY",' ..
    '"card":{"pan":"6216261000000000018"}}', prefix, count)
  return wrk.format(nil, nil, nil, body)
end
