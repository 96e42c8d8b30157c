"""Reading what `strace -f -xx` wrote: the calls of one process, each when it began and when it had ended."""

import re

WHOLE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)")
BEGUN = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+|\?)")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Call:
    """A system call: its name, its arguments as they were written down, the texts in them, and what it returned."""

    def __init__(self, name, arguments):
        self.name, self.arguments, self.result, self.texts = name, arguments, None, None

    def ended(self, more, result):
        self.arguments += more
        self.result = None if result == "?" else int(result)
        self.texts = [bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(self.arguments)]
        return self

    def number(self, index):
        """The argument in that place, from either end."""
        return int(self.plain()[index])

    def plain(self):
        return [part.strip() for part in TEXT.sub('""', self.arguments).split(",")]


def moments(path):
    """The beginnings and ends of all calls, in the order in which they were seen: (whether it ended, call)."""
    seen, open_calls = [], {}
    with open(path, encoding="ascii") as file:
        for line in file:
            if begun := BEGUN.match(line):
                thread, name, arguments = begun.groups()
                open_calls[thread] = Call(name, arguments)
                seen.append((False, open_calls[thread]))
            elif resumed := RESUMED.match(line):
                thread, _, more, result = resumed.groups()
                seen.append((True, open_calls.pop(thread).ended(more, result)))
            elif whole := WHOLE.match(line):
                _, name, arguments, result = whole.groups()
                call = Call(name, arguments).ended("", result)
                seen += [(False, call), (True, call)]
    for call in open_calls.values():
        # The process was killed in it.
        call.ended("", "?")
    return seen
