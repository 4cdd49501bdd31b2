"""Several things at once that can be interrupted."""

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType


class Together(ThreadPoolExecutor):
    """A thread pool that Ctrl-C leaves at once: the engine finishes what the threads have asked of it anyway."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the threads, unless Ctrl-C ended the block."""
        broken_off = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.shutdown(wait=not broken_off, cancel_futures=broken_off)
