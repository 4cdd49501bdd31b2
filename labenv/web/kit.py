"""The kit for labs about web servers: its helpers need nothing of a run."""

from labenv.checks.interface import Kit

KIT = Kit()
