"""What labs about web servers share: pages and certificates as a client on a machine gets them.

pages fetches one over HTTP or HTTPS; certificates reads the one that a server shows. Neither asks a program in a machine: what
comes over the wire is what counts.
"""
