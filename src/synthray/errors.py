"""The one exception tree. A message says what is wrong, where, and what to do about it, in one line."""


class SynthrayError(Exception):
    """Base of every error that synthray raises on purpose."""


class InputError(SynthrayError):
    """What the user gave can't be used: a file, a value, a recipe key. The command line exits with code 2."""


class MissingExtraError(InputError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency: pip install 'synthray[{extra}]'")


class SynthrayWarning(UserWarning):
    """Something in the input was unusual and was handled in the stated way; the result is usable."""
