-- Writes over so many names in turn, until wrk's time is up. After the URL: -- API PREFIX BYTES NAMES

dofile("tests/bench/report.lua")

local turn, names, prefix, value, write = 0

-- What one write is, in the API of each program that is measured.
local apis = {
   ours = function(name)
      return wrk.format("POST", "/secret", nil, '{"name":"' .. name .. '","value":"' .. value .. '"}')
   end,
   rustyvault = function(name)
      return wrk.format("POST", "/v1/secret/" .. name, nil, '{"value":"' .. value .. '"}')
   end,
}

function init(args)
   wrk.headers["Content-Type"] = "application/json"
   write, prefix, names = apis[args[1]], args[2], tonumber(args[4])
   value = string.rep("0123456789abcdef", args[3] / 16)
end

function request()
   turn = (turn + 1) % names
   return write(prefix .. turn)
end
