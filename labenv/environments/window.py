"""What labenv does in a running desktop: its page's password, Thunderbird, the way to its machine's root shell."""

from labenv import student
from labenv.engine import Engine
from labenv.engine.channel import Channel
from labenv.engine.desk import Desk
from labenv.environment import Machine
from labenv.errors import EngineError

_NAMES = ("own", "configured")  # of Thunderbird's profiles
_PROFILES = r"pgrep -af '^/usr/lib/thunderbird/thunderbird .*/\.thunderbird/' | sed 's|.*/||'"
_PATIENCE = 120  # seconds to wait for Thunderbird's window; it takes five on an idle machine

# The key with which the desktop opens a root shell on its machine; it is none of the student's files.
_KEY = "cat /home/$STUDENT/.ssh/id_ed25519.pub"
_PASSWORD = "umask 077 && cd /home/$STUDENT && vncpasswd -f >.new && chown $STUDENT: .new && mv .new .vnc-password"


def open_profiles(engine: Engine, desk: Desk) -> tuple[str, ...]:
    """The profiles that Thunderbird has open there. Raises EngineError."""
    with engine.shell(desk.desktop) as shell:
        listed = shell.run(_PROFILES).text.split()
    return tuple(name for name in _NAMES if name in listed)


def open_machine(engine: Engine, desk: Desk, host: Machine) -> None:
    """Open the desktop's machine to its terminal, once the desktop is ready. Raises EngineError."""
    with engine.shell(desk.desktop) as inside, engine.shell(host) as on_host:
        key = _run(desk, inside, f"until [ -s /run/screen/ready ]; do sleep 0.05; done; {_KEY}").strip()
        on_host.run(f"mkdir -p /etc/labenv/keys && echo '{key}' >/etc/labenv/keys/root")


def new_password(engine: Engine, desk: Desk) -> str:
    """Open the page to a new password, and return it. Raises EngineError."""
    password = student.new_password()
    with engine.shell(desk.desktop) as inside:
        _run(desk, inside, _PASSWORD, told=password)
    return password


def open_thunderbird(engine: Engine, desk: Desk, profile: str) -> None:
    """Open Thunderbird with a profile, and wait for its window. Raises EngineError."""
    with engine.shell(desk.desktop) as shell:
        _run(desk, shell, f"/usr/lib/labenv/thunderbird {profile}")


def _run(desk: Desk, channel: Channel, command: str, *, told: str = "") -> str:
    try:
        done = channel.run(command, timeout=_PATIENCE, told=told)
    except EngineError as error:
        raise EngineError(f"{error}\nLast output of the desktop:\n{desk.last_words()}") from error
    if done.rc:
        raise EngineError(f"The desktop could not be set up: {done.complaint}")
    return done.text
