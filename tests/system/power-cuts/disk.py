"""A simulated disk: what was written to it, and what of that a power cut leaves.

Assumed is what docs/design.md says under "Promises on disk", and no more: what was written to a file since its last sync is there
or not, in any part and any order, with zeros where it is not and the file has become longer; a change of a directory's names
since its last sync is there or not, after those before it on the same names; a rename is one change.
"""

import os

SYNCS = ("fsync", "fdatasync")
SENDS = ("write", "writev", "sendto", "sendmsg")
# What is traced: all of these, and what shows which file a descriptor is of.
CALLS = (
    "openat", "open", "creat", "close", "dup", "dup2", "dup3", "fcntl", "write", "writev", "pwrite64", "pwritev", "pwritev2",
    "sendto", "sendmsg", "sendfile", "splice", "copy_file_range", "fsync", "fdatasync", "sync_file_range", "msync", "rename",
    "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "ftruncate", "truncate",
    "fallocate", "mkdir", "mkdirat", "rmdir",
)  # fmt: skip


class File:
    """`synced` is durable, and was promised unless it `is_laid`; `pending` are the writes (from, bytes) and cuts (length) since."""

    def __init__(self, name):
        self.name, self.synced, self.pending, self.done = name, b"", [], 0
        self.last, self.is_laid = None, False

    def content(self, pending=None):
        if pending is not None:
            return played(self.synced, pending)
        if not self.last or self.last[0] != (self.done, len(self.pending)):
            self.last = (self.done, len(self.pending)), played(self.synced, self.pending)
        return self.last[1]


class Directory:
    """`synced` are the durable names; `pending` are the changes {name: file or directory or None} since."""

    def __init__(self, name):
        self.name, self.synced, self.pending, self.done = name, {}, [], 0

    def names(self, pending=None):
        names = dict(self.synced)
        for change in self.pending if pending is None else pending:
            names.update(change)
        return {name: node for name, node in names.items() if node is not None}


def played(content, operations):
    """What the operations make of a file's content."""
    content = bytearray(content)
    for operation in operations:
        if isinstance(operation, int):
            content = content[:operation].ljust(operation, b"\0")
        else:
            start, data = operation
            content = content.ljust(start, b"\0")
            content[start : start + len(data)] = data
    return bytes(content)


class Disk:
    """What the calls of a process do below the directory `root`. `lies` are names of what a sync does nothing for."""

    def __init__(self, root, lies=()):
        self.prefix, self.lies = root.encode() + b"/", lies
        self.root = Directory("directory")
        self.directories, self.files = [self.root], []
        self.forget_descriptors()
        self.acknowledged, self.changes = set(), 0

    def lay(self, left):
        """Puts there what another disk has left, durably."""
        made = {}
        for path, (node, content) in sorted(left.tree.items()):
            if node not in made:
                made[node] = Directory("directory") if content is None else File(node.name)
                (self.directories if content is None else self.files).append(made[node])
                if content is not None:
                    made[node].synced, made[node].is_laid = content, True
            self.find(os.path.dirname(path)).synced[os.path.basename(path)] = made[node]

    def forget_descriptors(self):
        """Another process."""
        self.descriptors, self.syncing = {}, {}

    def begin(self, call):
        """A call begins. Returns whether that changes what a power cut may leave, or what was promised before it."""
        if call.name == "close":
            # Its number may be another's before it is seen to have ended.
            self.descriptors.pop(call.number(0), None)
        elif call.name in SYNCS and call.number(0) in self.descriptors:
            # What is written from now on may come too late for it.
            node, _ = self.descriptors[call.number(0)]
            self.syncing[call] = (node, node.done + len(node.pending))
        elif call.name in SENDS and call.number(0) not in self.descriptors and call.texts:
            head, _, _ = b"".join(call.texts).partition(b"\r\n\r\n")
            ids = [line[14:].decode() for line in head.split(b"\r\n") if line.startswith(b"X-Request-Id: ")]
            self.acknowledged.update(ids)
            return bool(ids)
        return False

    def end(self, call):
        """A call has ended. Returns the same."""
        is_change = self.change(call)
        self.changes += is_change
        return is_change

    def change(self, call):
        if call.result is None or call.result < 0:
            return False
        if call.name in SYNCS:
            return call in self.syncing and self.sync(call.name, *self.syncing.pop(call))
        if call.name == "openat":
            return self.open(call)
        if call.name == "fcntl":
            if "F_DUPFD" in call.arguments and call.number(0) in self.descriptors:
                self.descriptors[call.result] = self.descriptors[call.number(0)]
            return False
        if call.name in ("rename", "link", "linkat", "unlink", "mkdir"):
            return self.change_names(call.name, self.below(call))
        if call.name in ("close", *SENDS) and call.number(0) not in self.descriptors:
            return False
        if call.name in ("write", "pwrite64", "ftruncate"):
            return call.number(0) in self.descriptors and self.write(call)
        if call.name == "close":
            return False
        raise NotImplementedError(f"{call.name}({call.arguments[:200]}")

    def below(self, call):
        """The paths on this disk that the call names; that of its root is empty."""
        paths = [text + b"/" for text in call.texts]
        return [path[len(self.prefix) : -1].decode() for path in paths if path.startswith(self.prefix)]

    def find(self, path):
        node = self.root
        for name in filter(None, path.split("/")):
            node = node and node.names().get(name)
        return node

    def open(self, call):
        self.descriptors.pop(call.result, None)
        for path in self.below(call):
            node, made = self.find(path), False
            if node is None:
                node, made = File(os.path.basename(path)), True
                self.files.append(node)
                self.put({path: node})
            assert "O_TRUNC" not in call.arguments and "O_APPEND" not in call.arguments
            self.descriptors[call.result] = (node, [0])
            return made
        return False

    def change_names(self, call, paths):
        if call == "mkdir":
            node = Directory("directory")
            self.directories.append(node)
            self.put({paths[0]: node})
        elif call == "unlink":
            self.put({paths[0]: None})
        elif call == "rename":
            self.move(*paths)
        else:
            self.put({paths[1]: self.find(paths[0])})
        return bool(paths)

    def move(self, path, to):
        """Renames as the process or somebody else does it."""
        self.put({path: None, to: self.find(path)})

    def put(self, change):
        (directory,) = {os.path.dirname(path) for path in change}
        self.find(directory).pending.append({os.path.basename(path): node for path, node in change.items()})

    def write(self, call):
        node, position = self.descriptors[call.number(0)]
        if call.name == "ftruncate":
            node.pending.append(call.number(1))
            return True
        data = call.texts[0][: call.result]
        if call.name == "pwrite64":
            node.pending.append((call.number(-1), data))
        else:
            node.pending.append((position[0], data))
            position[0] += len(data)
        return True

    def sync(self, how, node, through):
        if any(lie in f"{how} {node.name}" for lie in self.lies):
            return False
        count = max(through - node.done, 0)
        done, node.pending = node.pending[:count], node.pending[count:]
        node.synced = node.names(done) if isinstance(node, Directory) else node.content(done)
        node.done += count
        node.is_laid = False
        return True
