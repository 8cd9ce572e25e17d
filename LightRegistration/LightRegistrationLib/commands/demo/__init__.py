"""The `demo` command: it registers the built-in pair, or the user's own, and prints a short table.

Options and files go in; a result folder with pictures comes out, for the built-in pair with the error of the result.
"""
