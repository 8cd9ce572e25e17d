"""The `models` command: it lists, shows, verifies, adds, removes and exports models.

Names and folders of models go in; tables and cards as text, or changed model folders, come out.
"""
