-- Reads at a pace that leaves the machine time: each connection rests for 2 ms after an answer, so that what is measured is
-- how long an answer takes, not how many there can be.

dofile("tests/bench/report.lua")

function delay()
   return 2
end
