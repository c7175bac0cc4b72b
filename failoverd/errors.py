"""Errors: one meaning each, saying whose fault it was and whether anything was changed."""


class FailoverdError(Exception):
    """Base of all errors that failoverd raises on purpose; its text is fit for an operator."""


class CoordinatorUnavailable(FailoverdError):  # noqa: N818 (the vocabulary's own name)
    """No answer from the coordinator within the deadline. Whether a write was applied is *unknown*."""


class CoordinatorCorrupt(FailoverdError):  # noqa: N818
    """The coordinator holds something that we did not write or cannot read. Nothing was changed."""


class Refused(FailoverdError):  # noqa: N818
    """A request that cannot be granted. Nothing was changed; the text says why and what to do."""


class UsageError(FailoverdError):
    """The operator named something that does not exist. Nothing was changed."""


class StartupError(FailoverdError):
    """The daemon cannot start; the text says what is in the way. Nothing was changed."""


class SpawnFailed(FailoverdError):  # noqa: N818
    """A command could not be started at all (missing, not executable, no such user). Nothing ran."""


class SpawnerLost(SpawnFailed):
    """The helper process that starts commands ended while it ran this one, which was killed. Unlike with any other
    ``SpawnFailed``, the command may have had some effect."""


class GuardUnavailable(FailoverdError):  # noqa: N818
    """The guard has not taken over a last will in time. Nothing was changed: the online must not begin."""


class KeyFileError(FailoverdError):
    """The cluster key cannot be used: missing, readable by others, or not a key."""
