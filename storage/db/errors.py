"""The storage's exceptions. Every message is one sentence that an operator can act on."""


class StorageError(Exception):
    """Something could not be stored, or not be read; the base of all others."""


class LimitReached(Exception):
    """Somebody has done as much of something within the hour as they may; nothing was recorded. No fault of the disk's,
    so a later try within the hour does not help."""


class DatabaseClosed(StorageError):
    """The database was used after it was closed."""


class DatabaseUnusable(StorageError):
    """The file is damaged, read-only, held by another program, on a full disk, or from a newer Ovation."""


class BackupFailed(StorageError):
    """A backup could not be made or put in place; those that there are stay."""


class BackupUnusable(StorageError):
    """A file is no backup of Ovation, is damaged, or is from a newer Ovation."""


class TombstonesUnusable(StorageError):
    """The file of those who are forgotten is damaged or cannot be written."""


class KeyringUnusable(StorageError):
    """The keys of the texts are missing, damaged, or wrapped by another master key."""
