"""The tabs in which the user checks a result.

In: the nodes and the report of a result. Out: numbers, places, landmarks, what is under the cursor, and the verdict of
the reader.
"""
