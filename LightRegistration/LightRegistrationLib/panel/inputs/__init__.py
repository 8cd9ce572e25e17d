"""What the user chose to register: nodes of the scene, files that are loaded, the built-in pair.

In: the parameter node and file dialogs. Out: the chosen nodes, checked, and a request to the worker.
"""
