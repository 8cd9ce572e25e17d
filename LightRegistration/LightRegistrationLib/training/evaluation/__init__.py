"""Evaluates registration methods on lists of pairs.

In: image pairs with label maps or landmarks, and methods (models with their settings, or peers). Out: scores of each
pair and method, tables, a CSV file, a JSON summary and pictures.
"""
