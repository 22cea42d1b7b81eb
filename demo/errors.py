"""The one error that people see."""


class InputError(ValueError):
    """What somebody gave cannot be used. The message is one sentence for them: what is wrong and what to do."""
