"""What a power cut may leave of a simulated disk."""

import os

from disk import Directory

SECTOR = 512


class Left:
    """One such state: what each file holds and which changes of names each directory has kept. Of no disk: nothing."""

    def __init__(self, disk=None, contents=None, kept=None):
        self.tree = {}
        if disk:
            self.add(disk.root, "", contents, kept)

    def add(self, directory, path, contents, kept):
        for name, node in directory.names(kept.get(directory)).items():
            below = f"{path}{name}"
            if isinstance(node, Directory):
                self.tree[below] = (node, None)
                self.add(node, below + "/", contents, kept)
            else:
                self.tree[below] = (node, contents[node] if node in contents else node.content())

    def key(self):
        """The same for the same state."""
        return tuple(sorted((path, content) for path, (_, content) in self.tree.items() if content is not None))

    def lay(self, root):
        """Makes it, below the empty directory `root`. Two names of a file stay two names of one."""
        first = {}
        for path, (node, content) in sorted(self.tree.items()):
            path = os.path.join(root, path)
            if content is None:
                os.mkdir(path, 0o700)
            elif node in first:
                os.link(first[node], path)
            else:
                first[node] = path
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644 if path.endswith(".pub") else 0o600)
                with open(descriptor, "wb") as file:
                    file.write(content)


def states(disk, random, samples):
    """What may be left now: (how it came about, state)."""
    contents_of = {file: list(file_contents(file, random)) for file in disk.files if file.pending}
    names_of = {directory: list(names_kept(directory)) for directory in disk.directories if directory.pending}
    no_content = {file: file.synced for file in contents_of}
    no_names = {directory: [] for directory in names_of}
    for contents in {}, no_content:
        for names in {}, no_names:
            yield "all kept" if not contents and not names else "all or nothing", Left(disk, contents, names)
            for file, ways in contents_of.items():
                for how, content in ways:
                    yield f"{file.name} {how}", Left(disk, {**contents, file: content}, names)
        for directory, ways in names_of.items():
            for kept in ways:
                for names in {}, no_names:
                    yield "some names", Left(disk, contents, {**names, directory: kept})
    for _ in range(samples if contents_of or names_of else 0):
        contents = {file: random.choice(ways)[1] for file, ways in contents_of.items()}
        names = {directory: random.choice(ways) for directory, ways in names_of.items()}
        yield "at random", Left(disk, contents, names)


def file_contents(file, random):
    """What may be left of a file: (how, content)."""
    pending = file.pending
    yield "lost", file.synced
    yield "whole", file.content()
    for index in some(range(len(pending)), random):
        before, operation, after = pending[:index], pending[index], pending[index + 1 :]
        yield "without one write", file.content(before + after)
        yield "with one write", file.content([operation])
        if isinstance(operation, int):
            continue
        start, data = operation
        lengths = tears(start, len(data), random)
        for length in lengths if not after else random.sample(lengths, min(len(lengths), 1)):
            head, tail = (start, data[:length]), (start + length, data[length:])
            blank = (start + length, bytes(len(data) - length))
            yield "torn", file.content([*before, head])
            yield "torn, then zeros", file.content([*before, head, blank])
            yield "its end only", file.content([*before, tail])
            yield "its end only, and what came later", file.content([*before, tail, *after])
    # Sectors by themselves.
    whole = file.content()
    for share in 0.2, 0.5, 0.8:
        length = random.choice([len(whole), random.randint(min(len(file.synced), len(whole)), len(whole))])
        content = bytearray(file.synced[:length].ljust(length, b"\0"))
        for at in sectors(pending):
            if random.random() < share:
                content[at : at + SECTOR] = whole[at : min(at + SECTOR, length)]
        yield "some sectors", bytes(content)


def some(items, random):
    """The last of them, and a few others."""
    return sorted({*items[-1:], *random.sample(items, min(len(items), 5))})


def sectors(pending):
    """Where the sectors begin that were written."""
    return sorted(
        {
            at
            for operation in pending
            if not isinstance(operation, int)
            for at in range(operation[0] // SECTOR * SECTOR, operation[0] + len(operation[1]), SECTOR)
        }
    )


def tears(start, length, random):
    """How much of a write may be there: to the bounds of some sectors, and to some bytes."""
    bounds = [bound - start for bound in sectors([(start, bytes(length))])[1:]]
    bounds = random.sample(bounds, min(len(bounds), 4))
    anywhere = [random.randrange(length) for _ in range(2)] if length > 1 else []
    return sorted({*bounds, *anywhere, length - 1} - {0})


def names_kept(directory):
    """Which changes of names may be kept, each with those before it on the same names."""
    for index, change in enumerate(directory.pending):
        yield directory.pending[:index]
        # All but this one and what builds on it.
        lost, kept = set(change), directory.pending[:index]
        for later in directory.pending[index + 1 :]:
            if lost.isdisjoint(later):
                kept = [*kept, later]
            else:
                lost |= set(later)
        yield kept
        # This one and what it builds on.
        needed, kept = set(change), [change]
        for earlier in reversed(directory.pending[:index]):
            if not needed.isdisjoint(earlier):
                needed |= set(earlier)
                kept = [earlier, *kept]
        yield kept
    yield directory.pending
