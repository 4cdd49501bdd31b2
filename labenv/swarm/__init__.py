"""A class on several computers: Docker Swarm places the environments, and each of them lives whole on one node.

On the manager a *keeper* knows who has which environment, and keeps the copies that are pushed to it. On each node a *warden* pushes
copies and keeps stale environments aside. For each student a *supervisor* brings the environment up on the node where
Swarm has placed it, and ends it there. All three are services of Swarm's with labenv's own image (docs/decisions/0005).
"""
