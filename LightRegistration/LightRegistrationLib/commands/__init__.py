"""The command line `light-registration`: files and options go in, files, tables and exit statuses come out.

One folder for each command, `phantom` for the built-in pair, `terminal` and `files` for what all commands share.
"""
