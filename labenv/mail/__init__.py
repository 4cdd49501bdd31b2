"""Mail as the machines' logs, queues and mailboxes tell of it: what happened to a message, where, and why.

maillog reads a log into hops; postroom fetches all that a machine knows; office joins the machines; reasons and telling
put it into a student's words; trace tells a message's whole way. The checks take their evidence from here, too.
"""
