"""The checks: testinfra tests bound to the steps of a lab, run in process, and what they found as records.

A lab keeps its own in labs/<lab>/checks; here is what they have in common. Nothing here knows a screen.
"""
