"""Several things at once, that can be broken off."""

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType


class Together(ThreadPoolExecutor):
    """A thread pool that is left at once at Ctrl-C: what its threads have asked of an engine, the engine does anyway."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the threads, unless it is Ctrl-C that ends the block."""
        broken_off = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.shutdown(wait=not broken_off, cancel_futures=broken_off)
