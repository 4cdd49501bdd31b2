"""What vm1 says of its web server."""

from dataclasses import dataclass

from labenv.checks.machine import Machine

# A process keeps what it has loaded, whatever is installed later; so its own libraries count. httpd lists no modules if its files
# have an error.
_LOOK = """
echo "syntax $(httpd -t 2>&1 | head -n 3 | tr '\\n' ' ')"
grep -q '/mod_ssl\\.so' "/proc/$(systemctl show -p MainPID --value httpd)/maps" 2>/dev/null && echo loaded
modules=$(httpd -M 2>/dev/null) || modules=$(cat /etc/httpd/conf.modules.d/*.conf | grep '^[[:space:]]*LoadModule')
case $modules in *ssl_module*) echo configured ;; esac
true
"""


@dataclass(frozen=True)
class State:
    """What httpd says of its files, and whether mod_ssl is in them, and in the web server that runs."""

    syntax: str
    is_configured: bool
    is_loaded: bool


def of(vm1: Machine) -> State:
    """The state of vm1, looked up once for all checks of a run."""
    lines = str(vm1.once(_LOOK).stdout).splitlines()
    syntax = next((line.removeprefix("syntax ").strip() for line in lines if line.startswith("syntax ")), "")
    return State(syntax, "configured" in lines, "loaded" in lines)
