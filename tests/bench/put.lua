-- Puts of raw values into etcd by its JSON gateway, over so many keys in turn, until wrk's time is up. After the URL: -- BYTES KEYS

dofile("tests/bench/report.lua")

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local turn, keys, value = 0

-- In base64, as the gateway wants it.
local function encoded(text)
   local out = {}
   for at = 1, #text, 3 do
      local a, b, c = text:byte(at, at + 2)
      local bits = a * 65536 + (b or 0) * 256 + (c or 0)
      for place = 18, 0, -6 do
         local digit = math.floor(bits / 2 ^ place) % 64
         out[#out + 1] = alphabet:sub(digit + 1, digit + 1)
      end
      if not b then out[#out - 1] = "=" end
      if not c then out[#out] = "=" end
   end
   return table.concat(out)
end

function init(args)
   wrk.headers["Content-Type"] = "application/json"
   value, keys = encoded(string.rep("x", args[1])), tonumber(args[2])
end

function request()
   turn = (turn + 1) % keys
   return wrk.format("POST", "/v3/kv/put", nil, '{"key":"' .. encoded("/bench/" .. turn) .. '","value":"' .. value .. '"}')
end
