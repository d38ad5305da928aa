"""The exceptions that vaekit raises: one small hierarchy, each also a built-in type that users already catch."""


class VaekitError(Exception):
    """Base of every error that vaekit raises on purpose."""


class ShapeError(VaekitError, ValueError):
    """A tensor or a network's output has another shape than its place needs."""


class DataError(VaekitError, ValueError):
    """The data cannot be opened, read, or scored by the chosen likelihood."""


class ConfigError(VaekitError, ValueError):
    """A setting, or a combination of settings, has no meaning."""


class RunError(VaekitError, RuntimeError):
    """A run folder is missing, incomplete, or was written by something else."""


class NonFiniteError(VaekitError, ArithmeticError):
    """A NaN or an infinity appeared during training."""
