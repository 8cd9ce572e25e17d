"""Trains and evaluates models; needs the training extra and is never imported by what registers.

In: scans, label maps and a TOML configuration. Out: training states, model folders with cards, evaluation tables.
"""
