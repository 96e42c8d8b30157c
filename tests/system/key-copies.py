"""Counts how often the 32 bytes on standard input are in the memory of the processes that the arguments name by their pid."""
import re
import sys

key = sys.stdin.buffer.read()
assert len(key) == 32, f"a key has 32 bytes, not {len(key)}"
copies = seen = 0
for pid in sys.argv[1:]:
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            mapped = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            # What the kernel has mapped for itself cannot be read this way.
            if not mapped or line.rstrip().endswith(("[vvar]", "[vvar_vclock]", "[vsyscall]")):
                continue
            begin, end = (int(address, 16) for address in mapped.groups())
            memory.seek(begin)
            content = memory.read(end - begin)
            seen += len(content)
            copies += content.count(key)
assert seen > 1 << 20, "that was not their memory"
print(copies)
