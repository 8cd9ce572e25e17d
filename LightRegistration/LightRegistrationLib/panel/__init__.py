"""The user's choices in the module's panel in; requests to the worker, result nodes, and the display of a result out.

The only part that uses Qt: it connects widgets and parameter node with the scene and the worker, and computes nothing.
"""
