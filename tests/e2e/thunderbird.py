"""Thunderbird on a desktop, used as a person uses it: with its own dialogs, folders and buttons.

Marionette sends the clicks and the typing. Thunderbird is started again for it, with the desktop's own profile.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from labenv.engine import Engine
from tests.e2e.webdriver import Refused, started, until

# The account dialog is made of nested web components.
_HUB = """
    const deep = (root, selector) => [...root.querySelectorAll('*')].flatMap(element => [
        ...(element.matches(selector) ? [element] : []),
        ...(element.shadowRoot ? deep(element.shadowRoot, selector) : []),
    ]);
    const hub = document.querySelector('account-hub-container');
    const seen = selector => hub && deep(hub.shadowRoot ?? hub, selector).find(
        element => element.checkVisibility() && element.getClientRects().length);
    const type = (selector, value) => {
        const field = seen(selector);
        field.focus();
        field.value = value;
        for (const kind of ['input', 'change'])
            field.dispatchEvent(new Event(kind, {bubbles: true, composed: true}));
    };
"""
# Types the password into every dialog that asks for one, and has it stored.
_TYPING = """
    const [password] = args;
    Services.ww.registerNotification({observe(dialog, what) {
        if (what == 'domwindowopened') dialog.addEventListener('load', () => {
            const field = dialog.document.getElementById('password1Textbox');
            if (field) dialog.setTimeout(() => {
                field.value = password;
                dialog.document.querySelector('dialog').acceptDialog();
            }, 0);
        }, {once: true});
    }});
"""
_MAIN, _LETTER, _EXCEPTION = "/messenger.xhtml", "/messengercompose.xhtml", "/exceptionDialog.xhtml"  # its windows
_PANE = "const pane = document.getElementById('tabmail').currentAbout3Pane;"
_WRITE = """
    const [to, subject, text] = args;
    const recipient = document.getElementById('toAddrInput');
    recipient.focus();
    recipient.value = to;
    recipient.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}));
    const line = document.getElementById('msgSubject');
    line.focus();
    line.value = subject;
    line.dispatchEvent(new Event('input', {bubbles: true}));
    const letter = document.getElementById('messageEditor').contentDocument;
    letter.body.focus();
    letter.execCommand('insertText', false, text);
"""
_CLIPBOARD = """
    const held = Cc['@mozilla.org/widget/transferable;1'].createInstance(Ci.nsITransferable);
    held.init(null);
    held.addDataFlavor('text/plain');
    Services.clipboard.getData(held, Services.clipboard.kGlobalClipboard);
    const data = {};
    try { held.getTransferData('text/plain', data); } catch { return ''; }
    return data.value.QueryInterface(Ci.nsISupportsString).data;
"""


class Thunderbird:
    """Thunderbird with the profile "own" or "configured" on the desktop in `container`."""

    def __init__(self, engine: Engine, container: str, profile: str, password: str) -> None:
        self._inside = started(engine, container, "thunderbird", f".thunderbird/{profile}", 2828)
        self._main: str = until("its main window is open", lambda: self._window(_MAIN))
        self._inside.run(_TYPING, password)

    def set_up_account(
        self,
        who: str,
        address: str,
        incoming: Mapping[str, str],
        outgoing: Mapping[str, str],
        password: str,
        picture: Path,
    ) -> None:
        """Go through the account dialog with the settings of both servers, by the ends of its fields' ids."""
        self._until_hub("the account dialog asks for an address", "return !!seen('#email')")
        self._hub("type('#realName', args[0]); type('#email', args[1]);", who, address)
        self._press("#manualConfiguration")
        self._fill("incoming", incoming)
        self._picture(picture)
        self._press("#forward")
        self._fill("outgoing", outgoing)
        self._press("#custom")  # "Test"
        self._press("#forward")
        self._until_hub("it asks for the password", "return !!seen('#password')")
        self._hub("type('#password', args[0]);", password)
        self._press("#forward")
        # Then it looks for address books and calendars, and there are none: "Skip".
        self._until_hub("the account is made", "return /Skip/.test(seen('#back')?.textContent) || !seen('#password')")
        self._hub("if (seen('#password')) seen('#back').click();")
        self._until_hub("it says so", "return /Finish/.test(seen('#forward')?.textContent)")

    def found(self, who: str, address: str) -> dict[str, str]:
        """What it fills in after Continue, by the ids of its elements; then go back to where it asks for an address."""
        self._until_hub("the account dialog asks for an address", "return !!seen('#email')")
        self._hub("type('#realName', args[0]); type('#email', args[1]);", who, address)
        self._press("#forward")
        shows = "(!!seen('#incomingHost') || !!seen('#incomingHostname'))"
        self._until_hub("it has looked", f"return !seen('#email') && {shows}")
        ids = [
            f"{way}{part}" for way in ("incoming", "outgoing") for part in ("Host", "Port", "SocketType", "Username")
        ]
        told: dict[str, str] = self._hub(
            "return Object.fromEntries(args[0].map(id => [id, seen('#' + id)]).filter(([, element]) => element)"
            ".map(([id, element]) => [id, element.value || element.textContent]));",
            [*ids, "incomingHostname"],
        )
        self._press("#back")
        return told

    def add_another(self) -> None:
        """Continue from one account to the next."""
        self._press("#custom")

    def finish(self) -> None:
        """Close the account dialog."""
        self._press("#forward")
        self._until_hub("the dialog is closed", "return !seen('#forward')")

    def configuration(self, domain: str) -> dict[str, Any]:
        """The settings for a domain in the folder isp of its program folder, as its dialog would use them."""
        found: dict[str, Any] = self._inside.run(
            """
            const module = "resource:///modules/accountcreation/FetchConfig.sys.mjs";
            const found = await ChromeUtils.importESModule(module).FetchConfig.fromDisk(
                args[0], new AbortController().signal);
            const end = ({type, hostname, port, socketType, auth, username}) =>
                ({type, hostname, port, socketType, auth, username});
            return {incoming: end(found.incoming), outgoing: end(found.outgoing)};
            """,
            domain,
        )
        return found

    def open_folder(self, address: str) -> None:
        """Click on a folder. Thunderbird then logs in, and asks for the password if it has none."""
        self._inside.run(f"{_PANE} pane.setTimeout(folder => pane.displayFolder(folder), 0, args[0]);", address)

    def folders(self) -> list[str]:
        """The names in the list of folders, from top to bottom."""
        listed = (
            f"{_PANE} return [...pane.document.querySelectorAll('#folderTree .name')].map(name => name.textContent)"
        )
        return self._inside.run(listed) or []

    def subjects(self) -> list[str]:
        """The subjects in the open folder, after checking for new mail."""
        script = """
            const folder = pane.gFolder;
            if (!folder) return [];
            folder.getNewMessages(null, null);
            return [...folder.messages].map(message => message.mime2DecodedSubject);
        """
        return self._inside.run(_PANE + script) or []

    def get_messages(self) -> None:
        """Press the button with which it logs in to the account of the open folder, and asks for the password if it has none."""
        button = "pane.document.getElementById('folderPaneGetMessages')"
        self._inside.run(f"{_PANE} pane.setTimeout(() => {button}.click(), 0);")

    def unread(self) -> int:
        """How many messages of the open folder are unread, as the list of folders shows it; without asking the server."""
        return int(self._inside.run(_PANE + "return pane.gFolder.getNumUnread(false);"))

    def read(self, subject: str) -> str:
        """Click on a message in the open folder; returns the text that is shown."""
        script = """
            const row = [...Array(pane.gDBView.rowCount).keys()].find(
                row => pane.gDBView.getMsgHdrAt(row).mime2DecodedSubject == args[0]);
            pane.threadTree.selectedIndex = row;
        """
        self._inside.run(_PANE + script, subject)
        shown = f"{_PANE} return pane.messageBrowser?.contentWindow.getMessagePaneBrowser?.()?.contentDocument?.body?.textContent"
        return str(until(f"'{subject}' is shown", lambda: self._inside.run(shown)))

    def send(self, to: str, subject: str, text: str, picture: Path) -> None:
        """Write a message from the account of the open folder and send it; wait until it has been sent."""
        self.write(to, subject, text, picture)
        self.send_it(subject)

    def write(self, to: str, subject: str, text: str, picture: Path) -> None:
        """Write a message from the account of the open folder, in a window that stays open."""
        self._inside.run(f"{_PANE} pane.document.getElementById('folderPaneWriteMessage').click();")
        self._at_window(_LETTER)
        ready = (
            "return document.readyState == 'complete' && !!window.gMsgCompose?.editor && !window.gLoadingComposition"
        )
        until("the window is ready", lambda: self._inside.run(ready))
        self._inside.run(_WRITE, to, subject, text)
        self._inside.screenshot(picture)
        self._inside.use(self._main)

    def press_send(self) -> None:
        """Press Send in the window of the message that is written."""
        self._at_window(_LETTER)
        self._inside.run("window.setTimeout(() => document.getElementById('button-send').click(), 0);")
        self._inside.use(self._main)

    def send_it(self, subject: str) -> None:
        """Press Send, and wait until the message has been sent and its window is closed."""
        self.press_send()
        until(f"'{subject}' is sent", lambda: self._inside.windows() == [self._main])

    def trust(self, picture: Path) -> tuple[str, str]:
        """Confirm the security exception that it asks for; returns whose certificate it is (NAME:PORT) and what is wrong with it."""
        self._at_window(_EXCEPTION)
        confirm = "document.querySelector('dialog').getButton('extra1')"
        until("it has looked at the certificate", lambda: self._inside.run(f"return !{confirm}.disabled"))
        whose = self._inside.run("return document.getElementById('locationTextBox').value")
        wrong = self._inside.run("return document.getElementById('statusLongDescription').textContent")
        self._inside.screenshot(picture)
        self._inside.run(f"window.setTimeout(() => {confirm}.click(), 0);")
        until("the exception is confirmed", lambda: not self._window(_EXCEPTION))
        self._inside.use(self._main)
        return whose, wrong

    def paste(self) -> str:
        """The text that it would paste."""
        return str(self._inside.run(_CLIPBOARD))

    def copy(self, text: str) -> None:
        """Copy a text."""
        helper = "Cc['@mozilla.org/widget/clipboardhelper;1'].getService(Ci.nsIClipboardHelper)"
        self._inside.run(f"{helper}.copyString(args[0]);", text)

    def screenshot(self, file: Path) -> None:
        """Write what its window shows to a PNG file."""
        self._inside.screenshot(file)

    def close(self) -> None:
        """Disconnect from it; it keeps running."""
        self._inside.close()

    def _window(self, page: str) -> str | None:
        """The handle of the window that shows one of its pages; the current window is any afterwards."""
        for handle in self._inside.windows():
            with suppress(Refused):  # it has been closed meanwhile
                self._inside.use(handle)
                if (self._inside.run("return document.location.pathname") or "").endswith(page):
                    return handle
        return None

    def _at_window(self, page: str) -> None:
        """Wait for such a window, and send commands to it from now on."""
        self._inside.use(until(f"{page} is open", lambda: self._window(page)))

    def _picture(self, file: Path) -> None:
        self._inside.screenshot(file)

    def _hub(self, script: str, *arguments: Any) -> Any:
        return self._inside.run(_HUB + script, *arguments)

    def _until_hub(self, what: str, script: str) -> None:
        until(what, lambda: self._hub(script))

    def _press(self, button: str) -> None:
        """Press a button of the account dialog as soon as it is enabled."""
        self._until_hub(f"{button} can be pressed", f"return !!seen('{button}') && !seen('{button}').disabled")
        self._hub(f"seen('{button}').click();")

    def _fill(self, server: str, settings: Mapping[str, str]) -> None:
        self._until_hub(f"it asks for the {server} server", f"return !!seen('#{server}Hostname')")
        for field, value in settings.items():
            self._hub("type(args[0], args[1]);", f"#{server}{field}", value)
