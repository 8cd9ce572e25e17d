"""Folders and paths of results: a target folder goes in; it is filled as a whole or left as it was."""
