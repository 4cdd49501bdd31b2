"""A topology for tests of every kind: two networks, and a router between them."""

ROUTED = """\
services:
  client:
    image: base
    hostname: client.${DOMAIN}
    networks:
      office:
        ipv4_address: 10.${X}.1.10
  router:
    image: base
    hostname: router.${DOMAIN}
    networks:
      office:
        ipv4_address: 10.${X}.1.1
      servers:
        ipv4_address: 10.${X}.2.1
  web:
    image: base
    hostname: web.${DOMAIN}
    networks:
      servers:
        ipv4_address: 10.${X}.2.10
    x-labenv:
      since: relay
networks:
  office:
    ipam:
      config:
        - subnet: 10.${X}.1.0/24
          gateway: 10.${X}.1.254
  servers:
    ipam:
      config:
        - subnet: 10.${X}.2.0/24
          gateway: 10.${X}.2.254
"""
