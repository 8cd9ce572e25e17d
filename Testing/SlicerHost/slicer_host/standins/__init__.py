"""PySide implementations of the CTK and qMRML widgets (importing them registers them)."""

from . import ctk_buttons, ctk_numbers, ctk_paths, mrml_widgets, node_combo_box, others

__all__ = ["ctk_buttons", "ctk_numbers", "ctk_paths", "mrml_widgets", "node_combo_box", "others"]
