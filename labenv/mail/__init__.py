"""Mail as the machines' logs, queues and mailboxes show it: what happened to a message, where, and why.

maillog reads a log into hops; postroom fetches all that a machine knows; office joins the machines; reasons and telling
put it into plain words; trace shows a message's whole path. The checks take their evidence from here, too.
"""
