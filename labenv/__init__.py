"""labenv: one command brings up a working lab for a student, and verifies it."""

try:
    from labenv._version import __version__
except ImportError:  # a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
