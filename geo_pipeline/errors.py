"""What a person can get wrong, and how it is told.

Here lives the one error for a user's mistake and the translation of the machine's refusals (no space, no
permission) into it. Whoever raises `InputError` names the file, the row or key, what was found, what was expected
and what to do; the command line turns it into exit code 2, a Dagster step into a failure with the same message.
"""

from __future__ import annotations

import errno
import os
import sqlite3


class InputError(ValueError):
    """A mistake that the user can mend: the message says where, what was found, what was expected and the remedy."""


_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space there or point GEO_PIPELINE_HOME at another disk, then run again",
    errno.EDQUOT: "the disk quota is used up: free some space or point GEO_PIPELINE_HOME elsewhere, then run again",
    errno.EACCES: "permission denied: make it writable for this user or point GEO_PIPELINE_HOME elsewhere",
    errno.EPERM: "operation not permitted: make it writable for this user or point GEO_PIPELINE_HOME elsewhere",
    errno.EBUSY: "in use, as the root of a mounted disk is: name a folder inside it",
    errno.EFBIG: "larger than this system lets a file be: raise the limit (ulimit -f), then run again",
    errno.EEXIST: "a file stands where a folder is needed: move it away, then run again",
    errno.EISDIR: "a folder stands where a file is to be written: move it away or name another file",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away or point GEO_PIPELINE_HOME elsewhere",
    errno.EROFS: "the file system is read-only: point GEO_PIPELINE_HOME at one that can be written",
}
_DATABASE_REFUSALS = {
    "disk I/O error",
    "database or disk is full",
    "attempt to write a readonly database",
    "unable to open database file",
}


def explain(error: BaseException) -> str | None:
    """The message for a user, if `error` or what caused it is something that a user can mend; else None."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        if isinstance(cause, OSError) and cause.errno in _REMEDIES:
            return f"{_place(cause)}: {_REMEDIES[cause.errno]}"
        if isinstance(cause, sqlite3.OperationalError) and str(cause) in _DATABASE_REFUSALS:
            return (
                f"Dagster's home cannot be written ({cause}): free some space there or make it writable, or point "
                "GEO_PIPELINE_HOME elsewhere, then run again; what is finished is kept"
            )
        cause = cause.__cause__ or cause.__context__
    return None


def _place(error: OSError) -> str:
    """The path that an operating-system error speaks of."""
    name = error.filename2 or error.filename
    return os.fsdecode(name) if isinstance(name, str | bytes) else "a file"
