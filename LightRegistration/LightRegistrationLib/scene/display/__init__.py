"""The nodes of a registration in, a changed display of the slice views out.

Overlay, deformation grid and maps, outlines, match map, and preview. Every change can be undone; helper nodes are
hidden and not saved with the scene.
"""
