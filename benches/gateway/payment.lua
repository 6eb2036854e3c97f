-- Drives Switchyard: a fresh order id for each payment of one merchant.
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("place", threads)
end
function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. args[2]
  merchant = args[3] or "m-1"
  prefix = string.format("%s-%d-", args[1], place)
  count = 0
end
function request()
  count = count + 1
  local body = string.format(
    '{"order_id":"%s%d","merchant_id":"%s","amount":1234,"currency":"CNY",' ..
    '"card":{"pan":"6216261000000000018"}}', prefix, count, merchant)
  return wrk.format(nil, nil, nil, body)
end
