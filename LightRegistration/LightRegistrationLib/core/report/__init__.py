"""The report of a registration: a result and its scores go in, the typed content of report.json comes out.

`definition` is the one definition of report.json; its JSON Schema and the table in the documents are generated from it.
"""
