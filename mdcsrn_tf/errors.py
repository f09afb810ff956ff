"""The one exception that is meant for the person at the keyboard, and what is to be known of others."""

_OUT_OF_MEMORY = (  # as TensorFlow, XLA, OpenVINO and C++ say it
    "OOM when allocating",
    "out of memory",
    "Out of memory",
    "could not allocate",
    "bad_alloc",
    "Failed to allocate",
    "can't alloc",
)


class UserError(Exception):
    """Something the user can mend: its text is one clear sentence naming the file and the remedy.

    The commands print it and exit with code 1; any other exception is a bug and keeps its traceback.
    """


def brief(error: BaseException) -> str:
    """All that a library says of an error, in one line of at most 120 letters, or else the error's type.

    >>> brief(ValueError("too short\\n  by 3"))
    'too short by 3'
    """
    return " ".join(str(error).split())[:120] or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of what a library says of an error, at most 200 characters, or else the error's type.

    >>> first_line(ValueError())
    'ValueError'
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether NumPy, TensorFlow or OpenVINO failed for want of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return True
    return any(sign in str(error) for sign in _OUT_OF_MEMORY)
