"""How the docker SDK goes over a road: each new connection to the engine opens the road again if it was lost.

So a process that lives long, such as a server of pages, finds its engine again after the engine's computer was started anew.
"""

from typing import Any

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

from labenv.engine.road import Road


class RoadAdapter(UnixHTTPAdapter):
    """The SDK's adapter for Unix sockets, for the socket to which a road leads."""

    def __init__(self, road: Road, timeout: int, pool: int) -> None:
        """Open nothing yet. `timeout` and `pool` are the SDK's: seconds of a request, and connections that are kept."""
        super().__init__("http+unix:///", timeout=timeout, max_pool_size=pool)
        self._road = road

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        """The connections to the engine, as the SDK asks for them."""
        with self.pools.lock:
            pool = self.pools.get(url)
            if pool is None:
                pool = _Pool(self._road, url, self.timeout, self.max_pool_size)
                self.pools[url] = pool
        return pool


class _Pool(UnixHTTPConnectionPool):
    def __init__(self, road: Road, *given: Any) -> None:
        url, timeout, size = given
        super().__init__(url, "", timeout, size)
        self._road = road

    def _new_conn(self) -> Any:
        return _Connection(self._road, self.base_url, self.timeout)


class _Connection(UnixHTTPConnection):
    def __init__(self, road: Road, url: str, timeout: Any) -> None:
        super().__init__(url, "", timeout)
        self._road = road

    def connect(self) -> None:
        """Connect. Raises NoRoadError, and OSError if the road is lost this moment."""
        self.unix_socket = str(self._road.opened())
        super().connect()
