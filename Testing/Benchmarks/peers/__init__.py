"""The methods of the comparison. In: the files of a pair and a number of threads. Out: a displacement field, timed.

`registry.METHODS` lists them; one file holds one tool, and is imported only when that tool is run.
"""
