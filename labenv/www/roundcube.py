"""Roundcube as a browser uses it, and its settings as it reads them itself."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine
from labenv.text import one_line
from labenv.www import pages
from labenv.www.calls import Caller
from labenv.www.pages import Answer

_READ = (Path(__file__).parent / "roundcube.php").read_text(encoding="utf-8")
_FAR = 3  # redirections that are followed
_SESSION = "roundcube_sessid"
_COOKIES = {_SESSION, "roundcube_sessauth"}
# The pages' scripts, and the answers to their own requests, have what a person reads.
_SAID = re.compile(r'display_message\("((?:[^"\\]|\\.)*)"')
_SENT = "sent_successfully"
_TOKEN = re.compile(r'name="_token" value="([^"]+)"|"request_token":"([^"]+)"')
_FROM = re.compile(r'(?s)<select[^>]*name="_from".*?<option value="(\d+)"[^>]*>([^<]*)')


@dataclass(frozen=True)
class Settings:
    """Roundcube's settings by their names of today, as `old` the names of its file that are older, and the tables of its database.

    `complaint` says why the settings cannot be read, `refusal` why the database gives nothing. `user` is what the database knows of a user.
    """

    values: Mapping[str, Any]
    tables: tuple[str, ...] = ()
    complaint: str = ""
    refusal: str = ""
    user: Mapping[str, Any] | None = None

    def text(self, name: str) -> str:
        """A setting as a text."""
        value = self.values.get(name)
        return one_line(value if isinstance(value, str) else json.dumps(value))


def settings(machine: Machine, folder: str, account: str, user: str = "") -> Settings:
    """What the Roundcube in a folder of a machine reads in its files, asked as the web server's account."""
    answer = _php(machine, folder, account, "look", user)
    try:
        found = json.loads(answer.stdout)
        return Settings(
            values=dict(found["values"]),
            tables=tuple(map(str, found["tables"])),
            complaint=one_line(str(found["complaint"])),
            refusal=one_line(str(found["refusal"])),
            user=found["user"],
        )
    except (ValueError, KeyError, TypeError):
        lines = [line for line in f"{answer.stderr}\n{answer.stdout}".splitlines() if line.strip()]
        return Settings({}, complaint=one_line(lines[0]) if lines else f"PHP ends with status {answer.rc}")


def forget(machine: Machine, folder: str, account: str, user: str, before: Settings, browser: "Browser") -> None:
    """Let Roundcube's database know of a user what it knew before, as `settings` has it, and nothing of a browser."""
    _php(machine, folder, account, "forget", user, json.dumps(before.user), json.dumps(sorted(browser.sessions)))


def _php(machine: Machine, folder: str, account: str, *words: str) -> Any:
    line = "cd %s && timeout 10 runuser -u %s -- php -d display_errors=stderr -d log_errors=0 -r %s"
    return machine.run(line + " %s" * len(words), folder, account, _READ, *words)


class Browser:
    """A browser with a Roundcube at the path of a site, on a machine. `sessions` are all that it has had."""

    def __init__(self, start: Caller, host: str, *, name: str, path: str = "/webmail/", tls: bool = False) -> None:
        self._start, self._host, self._name, self._path, self._tls = start, host, name, path, tls
        self.sessions: set[str] = set()
        self._cookies: dict[str, str] = {}
        self._token = ""

    def page(self, query: str = "", form: Mapping[str, str] | None = None) -> Answer:
        """A page of Roundcube's, as the browser ends up with it. Raises CheckFailed if there is no answer."""
        path = self._path + (f"?{query}" if query else "")
        for _ in range(_FAR):
            answer = pages.fetch(
                self._start, self._host, path, name=self._name, tls=self._tls, form=form, cookies=self._cookies
            )
            self._cookies |= {key: value for key, value in answer.cookies.items() if key in _COOKIES}
            self.sessions |= {value for key, value in self._cookies.items() if key == _SESSION}
            if not answer.location:
                break
            path, form = re.sub(r"^https?://[^/]+", "", urljoin(path, answer.location)), None
        if found := _TOKEN.search(answer.text):
            self._token = found[1] or found[2]
        return answer

    def login(self, user: str, password: str) -> str:
        """Log in; returns why that failed, as the page says it, or nothing. Raises CheckFailed if there is no page to log in."""
        first = self.page()
        if first.status != 200 or 'name="_pass"' not in first.text:
            raise CheckFailed(f"{self._name}{self._path} answers {first}: {_words(first.text)}", "a page to log in")
        form = {"_task": "login", "_action": "login", "_timezone": "UTC", "_url": "", "_token": self._token}
        answer = self.page("_task=login", {**form, "_user": user, "_pass": password})
        return "" if "task-mail" in answer.text else said(answer.text) or _words(answer.text) or str(answer)

    def send(self, message_id: str, recipient: str, subject: str) -> tuple[str, str]:
        """Write a message and send it; a copy is not kept. Returns the sender that was offered, and why it was not sent, or nothing."""
        page = self.page(urlencode({"_task": "mail", "_action": "compose", "_message-id": f"<{message_id}>"}))
        sender, number = _FROM.search(page.text), re.search(r'"compose_id":"([0-9a-f]+)"', page.text)
        if not sender or not number:
            return "", said(page.text) or f"there is no page to write a message: {page}"
        form = {
            "_token": self._token, "_task": "mail", "_action": "send", "_id": number[1], "_from": sender[1],
            "_to": recipient, "_subject": subject, "_message": "A message of `labenv check`.", "_is_html": "0",
            "_store_target": "", "_framed": "1", "_remote": "1",
        }  # fmt: skip
        answer = self.page("_task=mail&_unlock=1&_framed=1&_lang=en", form)
        return one_line(unescape(sender[2])), "" if _SENT in answer.text else said(answer.text) or str(answer)

    def lists(self, subject: str) -> bool:
        """Whether the inbox has a message with that subject."""
        return subject in self.page("_task=mail&_action=list&_mbox=INBOX&_remote=1").text

    def logout(self) -> None:
        """End the session."""
        self.page(urlencode({"_task": "logout", "_token": self._token}))


def said(text: str) -> str:
    """The last message that a page shows, or an answer that its scripts get."""
    if text.lstrip().startswith("{"):
        try:
            text = str(json.loads(text).get("exec", ""))
        except ValueError:
            return ""
    found = _SAID.findall(text)
    return one_line(unescape(re.sub(r"\\(.)", r"\1", found[-1]))) if found else ""


def _words(text: str) -> str:
    """The beginning of what a person sees of a page."""
    body = re.sub(r"(?s)<(script|style|head)\b.*?</\1>", "", text)
    return one_line(" ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())[:200])
