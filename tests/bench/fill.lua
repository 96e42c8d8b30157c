-- Creates secrets of new names, and ends the run when the last one is acknowledged.
-- After the URL: -- PREFIX BYTES COUNT BATCH
--
-- In place of the BYTES of their values stands "generated" for values that the daemon makes, and replaces when they are due.
-- Names are PREFIX0, PREFIX1 …; BATCH of them, which divides COUNT, go into one request.

dofile("tests/bench/report.lua")

local prefix, value, count, batch
local next, acknowledged = 0, 0
local tried = false

function init(args)
   wrk.headers["Content-Type"] = "application/json"
   prefix, count, batch = args[1], tonumber(args[3]), tonumber(args[4])
   if args[2] == "generated" then
      value = '"generate":true,"rotation":"auto"'
   else
      value = '"value":"' .. string.rep("0123456789abcdef", args[2] / 16) .. '"'
   end
end

local function secret()
   next = next + 1
   return '{"name":"' .. prefix .. next - 1 .. '",' .. value .. "}"
end

function request()
   -- wrk's first call is a trial, whose request it does not send. When all are under way, connections wait by asking.
   if not tried or next == count then
      tried = true
      return wrk.format("GET", "/healthz")
   end
   if batch == 1 then
      return wrk.format("POST", "/secret", nil, secret())
   end
   local secrets = {}
   for i = 1, batch do
      secrets[i] = secret()
   end
   return wrk.format("POST", "/secrets", nil, '{"secrets":[' .. table.concat(secrets, ",") .. "]}")
end

function response(status, headers, body)
   if status == 200 and body:sub(1, 9) ~= '{"status"' then
      acknowledged = acknowledged + batch
   end
   if acknowledged == count then
      -- The one wakes the main thread, which would sleep until the time is up; once more, for it may not have fallen
      -- asleep yet. The other ends this thread at once.
      io.popen("kill -INT $PPID; (sleep 1; kill -INT $PPID) >/dev/null 2>&1 &"):close()
      wrk.thread:stop()
   end
end
