"""The checks: testinfra tests bound to the steps of a lab, run in process, and their results as records.

A lab keeps its own checks in labs/<lab>/checks; this package has what they share. Nothing here depends on a screen.
"""
