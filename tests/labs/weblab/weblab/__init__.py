"""A lab about a web server on one machine with Debian's paths: nginx, a certificate, a firewall."""
