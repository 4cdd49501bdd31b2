"""What labs about web servers share: pages and certificates as a client on a machine gets them, and a webmail.

pages fetches one over HTTP or HTTPS; certificates reads the one that a server shows. Neither asks a program in a machine: what
comes over the wire is what counts. roundcube is a browser with a webmail, and has that read its own settings.
"""
