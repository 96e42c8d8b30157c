-- One call of all that there is, over and over. After the URL: -- CALL

dofile("tests/bench/report.lua")

local call

-- New versions of 1,000 secrets, in one request.
local function create()
   local secrets = {}
   for i = 1, 1000 do
      secrets[i] = '{"name":"many_' .. i .. '","value":"0123456789abcdef0123456789abcdef"}'
   end
   return wrk.format("POST", "/secrets", nil, '{"secrets":[' .. table.concat(secrets, ",") .. "]}")
end

local calls = {
   rotate = function() return wrk.format("POST", "/rotate", nil, '{"names":[]}') end,
   foresee = function() return wrk.format("POST", "/rotate?dry_run=true", nil, '{"names":[]}') end,
   schedule = function() return wrk.format("GET", "/rotation/schedule?limit=10") end,
   plan = function() return wrk.format("GET", "/rotation/schedule") end,
   list = function() return wrk.format("GET", "/secrets") end,
   page = function() return wrk.format("GET", "/secrets?limit=10") end,
   metrics = function() return wrk.format("GET", "/metrics") end,
   create = create,
}

function init(args)
   wrk.headers["Content-Type"] = "application/json"
   call = calls[args[1]]()
end

function request()
   return call
end
