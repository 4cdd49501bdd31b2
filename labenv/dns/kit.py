"""The kit for labs about the DNS."""

from labenv.checks.interface import Kit, Watched
from labenv.dns.carried import LAWS
from labenv.dns.restarts import NAMED

KIT = Kit(
    services=(NAMED,),
    watched=Watched(logs={"/var/log/messages": r"named\[.*(serial|reload|running|exiting)"}),
    laws=LAWS,
)
