"""What was asked of a daemon and what it answered; and what the vault may therefore hold."""

# Stands in the place of a kid.
OWNER = "owner"


class Change:
    """One secret's new version, where a value that the daemon makes is not known yet; or another owner, or its end."""

    def __init__(self, name, value=None, deletes=False, owner=None):
        self.name, self.value, self.kid, self.deletes, self.owner = name, value, None, deletes, owner

    def after(self, before):
        """What is there of the secret when it is made: (kid, value), the newest first, and its owner as the last."""
        if self.deletes:
            return []
        if self.owner:
            return [*(item for item in before if item[0] != OWNER), (OWNER, self.owner)]
        return [(self.kid, self.value), *before]


class Operation:
    """A request, and the id of its answer once that was seen."""

    def __init__(self, what, changes):
        self.what, self.changes, self.request_id = what, changes, None


class History:
    """Operations in their order. Those on one name come one after the other."""

    def __init__(self):
        self.operations = []

    def copy(self):
        """Another one with the same operations, that may go on otherwise."""
        history = History()
        history.operations = list(self.operations)
        return history

    def begin(self, what, changes=()):
        operation = Operation(what, list(changes))
        self.operations.append(operation)
        return operation

    def answered(self):
        """The ids of all answers."""
        return {operation.request_id for operation in self.operations if operation.request_id}

    def names(self):
        return sorted({change.name for operation in self.operations for change in operation.changes})

    def kids(self, name, acknowledged):
        """The kids of a secret that were given out with these answers, also those of versions that are gone."""
        done = [operation for operation in self.operations if operation.request_id in acknowledged]
        return [change.kid for operation in done for change in operation.changes if change.name == name and change.kid]

    def allowed(self, name, acknowledged):
        """What may be there of a secret once the answers with these ids were given: lists as `Change.after` makes them,
        where None stands for anything; each with the operation that was made for it though it was not acknowledged,
        if one was. Such an operation may have been made or not, but not in part."""
        versions, outcomes = [], []
        for operation in self.operations:
            for change in operation.changes:
                if change.name == name:
                    after = change.after(versions)
                    if operation.request_id not in acknowledged:
                        return [(versions, None), (after, operation)]
                    versions = after
        return [(versions, None)]
