"""L0. The one exception a user is meant to read."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message names the file, flag or value, says what was expected and how to mend it. Entry
    points print it without a traceback and exit with status 2; every other exception is a defect
    of ours and keeps its traceback.
    """
