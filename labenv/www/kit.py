"""The kit for labs about web servers: when they last read their files, and what to watch."""

from labenv.checks.interface import Kit, Watched
from labenv.www.restarts import APACHE, NGINX

KIT = Kit(
    services=(NGINX, APACHE),
    watched=Watched(paths=("/run/nginx.pid", "/run/apache2/apache2.pid", "/srv/www", "/var/www")),
)
