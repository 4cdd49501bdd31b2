"""How many servers a class needs: what was measured on one computer, a plan from it, and a simulation of a class hour. No engine is asked."""
