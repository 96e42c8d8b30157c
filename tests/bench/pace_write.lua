-- Writes as write.lua does, at the pace of pace.lua.

dofile("tests/bench/write.lua")

function delay()
   return 2
end
