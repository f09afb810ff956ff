"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend: its text is one clear sentence naming the file and the remedy.

    The commands print it and exit with code 1; any other exception is a bug and keeps its traceback.
    """
