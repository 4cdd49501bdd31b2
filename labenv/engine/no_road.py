"""Why there is no road to an engine on another computer: what OpenSSH's client says, in sentences with a way out."""

import re
import shlex
from typing import Literal

Kind = Literal["absent", "denied", "mute", "odd"]

# What ssh says: its kind, a pattern, the end of a sentence, the way out.
_SAID: tuple[tuple[Kind, str, str, str], ...] = (
    (
        "odd",
        r"Host key verification failed",
        "has a host key that this computer does not know",
        "Log in once, to look at the key: {login}",
    ),
    ("odd", r"Could not resolve hostname", "has a name for which no address is known", "{trial}"),
    ("absent", r"Connection refused", "runs no SSH server on that port: {why}", "{trial}"),
    ("mute", r"No route to host|Network is unreachable", "cannot be reached over ssh: {why}", "{trial}"),
    (
        "mute",
        r"timed out",
        "cannot be reached over ssh: it does not answer",
        "Look whether it is switched on. {trial}",
    ),
)


class NoRoadError(OSError):
    """There is no road: `detail` ends a sentence about the engine, and `mend` (sentences and commands) is the way out."""

    def __init__(self, kind: Kind, detail: str, mend: str) -> None:
        """Make the error; its text is both."""
        super().__init__(f"{detail}. {mend}".strip())
        self.kind = kind
        self.detail = detail
        self.mend = mend


def of_ssh(said: str, target: str, *, users: bool) -> NoRoadError:
    """The error for what ssh said when it could not connect to `target`, with the `users` own known hosts or with others."""
    login, trial = f"ssh {target}", f"This has to work: ssh -o BatchMode=yes {target} true"
    if "HOST IDENTIFICATION HAS CHANGED" in said:
        return NoRoadError("odd", "has another host key than before", _forgetting(said, target, login if users else ""))
    if "Permission denied" in said:
        return NoRoadError("odd", "does not let you in with an SSH key of yours", f"{_keys(said, target)}\n{trial}")
    for kind, pattern, detail, mend in _SAID:
        if found := re.search(pattern, said):
            why = found[0][0].lower() + found[0][1:]
            return NoRoadError(kind, detail.format(why=why), mend.format(login=login, trial=trial))
    lines = [line.strip().rstrip(".") for line in said.splitlines() if line.strip()]
    return NoRoadError("odd", f"cannot be reached over ssh: {lines[-1] if lines else 'ssh says no reason'}", trial)


def _forgetting(said: str, target: str, login: str) -> str:
    name = re.search(r"Host key for (\S+) has changed", said)
    file = re.search(r"Offending .* in (.+):\d+", said)
    forget = f"ssh-keygen -R {shlex.quote(name[1] if name else target)}{f' -f {shlex.quote(file[1])}' if file else ''}"
    return (
        "Another computer may answer in its place: then leave it alone. If it was installed again, forget its old key: "
        f"{forget}" + (f"\nThen log in once: {login}" if login else "")
    )


def _keys(said: str, target: str) -> str:
    if bad := re.search(r"Permissions .* for '(.+)' are too open", said):
        return f"ssh does not use a key that others may read: chmod 600 {shlex.quote(bad[1])}"
    return (
        f"labenv types no password and no passphrase. To give it your key: ssh-copy-id {target}\n"
        "To unlock a key that has a passphrase: ssh-add"
    )


def of_engine(seen: str, path: str, target: str) -> NoRoadError:
    """The error for an engine that does not answer on its computer, where its socket `path` is `seen` so by who logs in."""
    if seen == "absent":
        return NoRoadError(
            "absent",
            f"has no engine's socket {path}",
            f"Install Docker there, or start it: ssh {target} sudo systemctl start docker\n"
            "If the engine's socket is another one: ssh://HOST/run/user/1000/docker.sock",
        )
    if seen == "denied":
        return NoRoadError(
            "denied",
            f"has an engine, but {path} is not for the user who logs in",
            f"Allow that user to use it: ssh -t {target} 'sudo usermod -aG docker $USER'",
        )
    return NoRoadError(
        "odd",
        f"lets you in, but no engine answers on {path}",
        f"Look whether it runs: ssh {target} docker info\nIf it does, the SSH server there forwards no sockets: "
        "AllowStreamLocalForwarding in sshd_config(5), and what is before your key in authorized_keys.",
    )
