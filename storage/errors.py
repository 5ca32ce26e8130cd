"""The storage's exceptions. Every message is one sentence that an operator can act on.

StorageError
├── DatabaseClosed      the database was used after it was closed
├── DatabaseUnusable    the file is damaged, read-only, on a full disk, or from a newer Ovation
└── InUse               another bot holds this data folder
"""


class StorageError(Exception):
    """Anything that keeps facts from being kept."""


class DatabaseClosed(StorageError):
    """The database was used after it was closed."""


class DatabaseUnusable(StorageError):
    """The file cannot be read or written."""


class InUse(StorageError):
    """Another bot holds this data folder."""
