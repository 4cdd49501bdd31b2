"""The kit for labs about web servers: when they last read their files, and what to watch."""

from labenv.checks.interface import Kit, Watched
from labenv.www.restarts import APACHE, HTTPD, NGINX

KIT = Kit(
    services=(NGINX, APACHE, HTTPD),
    watched=Watched(
        paths=("/run/nginx.pid", "/run/apache2/apache2.pid", "/run/httpd/httpd.pid", "/srv/www", "/var/www")
    ),
)
