-- What bench.sh reads of a run: requests a second, the microseconds in which half, 99 % and all of them were answered,
-- the run's own microseconds, and how many requests failed.

function done(summary, latency)
   local e = summary.errors
   print(string.format("report %.1f %d %d %d %d %d",
      summary.requests / summary.duration * 1e6, latency:percentile(50), latency:percentile(99), latency.max,
      summary.duration, e.connect + e.read + e.write + e.status + e.timeout))
end
