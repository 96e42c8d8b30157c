-- Durable writes: one new version after another, over a thousand secrets in turn.

local headers = { ["X-Jarvis-Client"] = "admin", ["Content-Type"] = "application/json" }
local turn = 0

function request()
   turn = (turn + 1) % 1000
   local body = '{"name":"bench_' .. turn .. '","value":"0123456789abcdef0123456789abcdef"}'
   return wrk.format("POST", "/secret", headers, body)
end
