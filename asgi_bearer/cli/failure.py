"""What the user can mend: one sentence on stderr and exit code 1, without a traceback. Floor 7."""


class Failure(Exception):
    """A command cannot do what it was asked to. The message says what is wrong, and what to write instead."""
