-- What write.lua does, in RustyVault's API.

dofile("tests/bench/report.lua")

local turn, names, path, body = 0

function init(args)
   wrk.headers["Content-Type"] = "application/json"
   names = tonumber(args[3])
   path = "/v1/secret/" .. args[1]
   body = '{"value":"' .. string.rep("0123456789abcdef", args[2] / 16) .. '"}'
end

function request()
   turn = (turn + 1) % names
   return wrk.format("POST", path .. turn, nil, body)
end
