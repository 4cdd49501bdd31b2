"""The kit for labs about web servers: visits that leave no trace, when servers last read their files, and what to watch."""

from labenv.checks.interface import Kit, Watched
from labenv.www.restarts import APACHE, HTTPD, NGINX
from labenv.www.visits import Visits

# What lies elsewhere, such as in /var/www, the lab lists among the files of which it keeps a history: there, programs may write for
# each request.
KIT = Kit(
    part=Visits,
    services=(NGINX, APACHE, HTTPD),
    watched=Watched(paths=("/run/nginx.pid", "/run/apache2/apache2.pid", "/run/httpd/httpd.pid", "/srv/www")),
)
