"""Programs with a window, driven by their own automation: Chromium by WebDriver, Thunderbird and Firefox by Marionette.

Both take the same commands (W3C WebDriver), one over HTTP, the other over a socket with JSON
(https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html).
"""

import base64
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labenv.engine import Engine
from labenv.engine.dial import dial
from labenv.errors import EngineError


class Refused(AssertionError):
    """The program did not do what it was asked to; the message is its own."""


class Chromium:
    """A page in a headless Chromium, behind the chromedriver that listens on `port` of this computer."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1300,900"]}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        self._url += f"/session/{self._call('POST', '/session', wanted)['sessionId']}"

    def open(self, address: str) -> None:
        """Go to an address and wait until the page is loaded."""
        self._call("POST", "/url", {"url": address})

    def reload(self) -> None:
        """Load the page again."""
        self._call("POST", "/refresh", {})

    def run(self, script: str, *arguments: Any) -> Any:
        """The return value of a function body in JavaScript; waits for a promise."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def screenshot(self, file: Path) -> None:
        """Write what the page shows to a PNG file."""
        file.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def close(self) -> None:
        """End the browser."""
        self._call("DELETE", "")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise Refused(json.load(error)["value"]["message"]) from error


class Marionette:
    """A program of Mozilla's, from the inside: scripts run with all of its rights ("chrome context"), unless told otherwise."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(180)
        self._read()  # its greeting
        self._number = 0
        # A dialog stays open until somebody answers it.
        self.command("WebDriver:NewSession", capabilities={"alwaysMatch": {"unhandledPromptBehavior": "ignore"}})
        self.command("Marionette:SetContext", value="chrome")
        self.command("WebDriver:SetTimeouts", script=120_000)

    def command(self, name: str, **parameters: Any) -> Any:
        """Send a command and return its result, once no dialog blocks it. Raises Refused with the program's message."""
        deadline = time.monotonic() + 60
        while True:
            result, error = self._asked(name, parameters)
            if not error:
                return result
            if error["error"] != "unexpected alert open" or time.monotonic() > deadline:
                raise Refused(f"{name}: {error['message']}\n{error['stacktrace']}")
            time.sleep(0.2)

    def _asked(self, name: str, parameters: dict[str, Any]) -> tuple[Any, Any]:
        self._number += 1
        message = json.dumps([0, self._number, name, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        return result, error

    def run(self, script: str, *arguments: Any) -> Any:
        """The return value of an async function body in JavaScript."""
        body = "const done = arguments[arguments.length - 1];\n" + (
            f"(async (...args) => {{ {script} }})(...[...arguments].slice(0, -1))"
            ".then(value => done({value: value ?? null}), error => done({error: `${error}\\n${error?.stack}`}));"
        )
        answer = self.command("WebDriver:ExecuteAsyncScript", script=body, args=list(arguments), newSandbox=True)
        answer = answer["value"] or {"value": None}  # nothing: a dialog blocked it
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["value"]

    def windows(self) -> list[str]:
        """The handles of its windows, dialogs included."""
        handles: list[str] = self.command("WebDriver:GetWindowHandles")
        return handles

    def use(self, handle: str) -> None:
        """Send commands to another window from now on."""
        self.command("WebDriver:SwitchToWindow", handle=handle, focus=True)

    def screenshot(self, file: Path) -> None:
        """Write what the window shows to a PNG file."""
        file.write_bytes(base64.b64decode(self.command("WebDriver:TakeScreenshot", full=True, hash=False)["value"]))

    def close(self) -> None:
        """Disconnect from the program; it keeps running."""
        self._socket.close()

    def _read(self) -> Any:
        length = b""
        while (byte := self._exactly(1)) != b":":
            length += byte
        return json.loads(self._exactly(int(length)))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            if not (block := self._socket.recv(count - len(data))):
                raise Refused("The program ended the conversation.")
            data += block
        return data


def started(engine: Engine, container: str, program: str, profile: str, port: int) -> Marionette:
    """Start a program of Mozilla's on the desktop in `container` so that it can be driven, again if it runs, with a profile in the user's home."""
    main = f"^(/usr/lib/{program}/)?{program} .*--profile"
    end = f"pkill -f '{main}'; while pgrep -f '{main}' >/dev/null; do sleep 0.1; done"
    start = (
        f"cd /home/$STUDENT && as=/usr/lib/labenv/as-student && $as mkdir -p {profile} && "
        f"echo 'user_pref(\"marionette.port\", {port});' | $as tee {profile}/user.js && "
        f"exec $as {program} --marionette --remote-allow-system-access --profile /home/$STUDENT/{profile}"
    )
    for command, detach in ((end, False), (start, True)):
        engine.api.exec_start(engine.api.exec_create(container, ["sh", "-c", command])["Id"], detach=detach)

    def reached() -> Marionette | None:
        try:
            return Marionette(dial(engine.api, container, "127.0.0.1", port, timeout=180))
        except (OSError, EngineError, Refused):
            return None

    driven: Marionette = until(f"{program} can be driven", reached)
    return driven


def until(what: str, fact: Callable[[], Any], patience: float = 90) -> Any:
    """Wait until `fact` is true and return its value. Fails the test, saying `what` was waited for, if that takes too long."""
    deadline = time.monotonic() + patience
    while not (found := fact()):
        assert time.monotonic() < deadline, f"waited for {patience:g} s until {what}"
        time.sleep(0.2)
    return found
