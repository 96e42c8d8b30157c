-- Writes over so many names in turn, until wrk's time is up. After the URL: -- PREFIX BYTES NAMES

dofile("tests/bench/report.lua")

local turn, names, head, tail = 0

function init(args)
   wrk.headers["Content-Type"] = "application/json"
   names = tonumber(args[3])
   head = '{"name":"' .. args[1]
   tail = '","value":"' .. string.rep("0123456789abcdef", args[2] / 16) .. '"}'
end

function request()
   turn = (turn + 1) % names
   return wrk.format("POST", "/secret", nil, head .. turn .. tail)
end
