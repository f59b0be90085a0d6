"""The errors a user can meet. A caller's own mistake is a plain ValueError."""


class BtunetError(Exception):
    """The world did not cooperate (a file, the disk, memory, a version): one sentence says what to do."""


class OutOfMemory(BtunetError):  # noqa: N818 (its name is what happened)
    """The work did not fit into memory; the message names the setting to lower."""


class Died(BtunetError):  # noqa: N818
    """The background process ended without an answer."""


class Killed(Died, OutOfMemory):
    """The background process was killed, as systems do that run out of memory."""
