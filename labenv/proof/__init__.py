"""The proof of a lab on real machines: its stages, solutions, mutations and drills are judged as its files say.

What is to be judged is a list of rows (labenv.proof.rows). Each row is judged in a place (labenv.proof.place) and has an outcome.
The command gives them to several processes at once (labenv.proof.crew); a test suite can judge them one by one.
"""
