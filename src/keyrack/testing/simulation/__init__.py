"""A deterministic simulation of several nodes that share a catalog and key managers: one seed decides everything.

``python -m keyrack.testing.simulation --seed N`` plays one seed with its trace. See ``run`` for how a run goes, and
``invariants`` for what has to hold.
"""
