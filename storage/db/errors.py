"""The storage's exceptions. Every message is one sentence that an operator can act on.

StorageError
├── DatabaseClosed      the database was used after it was closed
├── DatabaseUnusable    the file is damaged, read-only, on a full disk, or from a newer Ovation
├── BackupFailed        a backup could not be made; those that there are stay
├── BackupUnusable      a file is no backup of Ovation, is damaged, or is from a newer Ovation
├── TombstonesUnusable  the file of those who are forgotten is damaged or cannot be written
├── KeyringUnusable     the keys of the texts are missing, damaged, or wrapped by another master key
└── InUse               another bot holds this data folder
"""


class StorageError(Exception):
    """Anything that keeps facts from being kept."""


class DatabaseClosed(StorageError):
    """The database was used after it was closed."""


class DatabaseUnusable(StorageError):
    """The file cannot be read or written."""


class BackupFailed(StorageError):
    """A backup could not be made."""


class BackupUnusable(StorageError):
    """A file cannot be restored."""


class TombstonesUnusable(StorageError):
    """The file of those who are forgotten cannot be read or written."""


class KeyringUnusable(StorageError):
    """The keys of the texts cannot be read or written."""


class InUse(StorageError):
    """Another bot holds this data folder."""
