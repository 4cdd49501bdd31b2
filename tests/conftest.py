"""What all tests share."""

import os
import tempfile

# Sockets lie below the tests' temporary folders, and the path of a socket has 107 bytes (unix(7)).
_ROOM = 20


def pytest_configure() -> None:
    """Keep these folders out of a TMPDIR with a long path, and the labs in English, whatever the developer reads."""
    os.environ["LANGUAGE"] = "en"
    if len(tempfile.gettempdir()) > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/tmp")
