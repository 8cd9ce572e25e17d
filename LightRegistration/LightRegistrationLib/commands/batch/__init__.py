"""The `batch` command: a list of pairs goes in; the result of each pair, a table and a page come out.

The pairs are registered by worker processes of Dask distributed. What is done is not done again, what failed is listed.
"""
