"""L0. The one exception a user is meant to read, and what a message quotes of others."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message names the file, flag or value, says what was expected and how to mend it. Entry
    points print it without a traceback and exit with status 2; every other exception is a defect
    of ours and keeps its traceback.
    """


def first_line(error: BaseException, most: int = 300) -> str:
    """Of what an exception of another package says, which may be a page or nothing: its first line, at most so many
    characters; the name of its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:most]
