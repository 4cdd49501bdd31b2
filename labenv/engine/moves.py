"""Addresses that a machine gives itself, where the engine has others for it.

Two networks of an engine cannot have the same addresses (moby, libnetwork: "Pool overlaps with other one on this address space"). An
environment with the X of another one has networks with other addresses there, and each of its machines, before anything else at each
boot, takes its own in place of what the engine gave it: for that it needs no more than NET_ADMIN.
"""

from collections.abc import Sequence

# Arguments: "THERE=OWN/PREFIX" for each address, then "--", then what the machine runs. The engine writes its address into /etc/hosts
# at each start; the file is mounted, so it cannot be replaced by another one.
_SCRIPT = """\
while move=$1; shift; [ "$move" != -- ]; do
    there=${move%=*} own=${move#*=}
    link=$(ip -4 -oneline address show to "$there" | { read -r _ link _; echo "$link"; })
    [ -n "$link" ] || continue
    ip -4 address flush dev "$link"
    ip address add "$own" broadcast + dev "$link"
    hosts=$(sed "s/^$there[[:space:]]/${own%/*} /" /etc/hosts) && printf '%s\\n' "$hosts" >/etc/hosts
done
exec "$@"
"""
_BEFORE = ("/bin/sh", "-c", _SCRIPT, "sh")
_END = "--"


def command(moves: Sequence[tuple[str, str]], then: Sequence[str]) -> list[str]:
    """What takes these addresses, as `Node.moves` has them, then runs another command; without any, only that one."""
    return [*_BEFORE, *(f"{there}={own}" for there, own in moves), _END, *then] if moves else [*then]


def then(command: Sequence[str]) -> list[str]:
    """What a command of `command` runs when the addresses are taken; another command is given back as it is."""
    words = [*command]
    return words[words.index(_END) + 1 :] if tuple(words[: len(_BEFORE)]) == _BEFORE and _END in words else words
