"""Transforms of transform nodes, applied one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray
from ...core.geometry.transforms import DisplacementField
from .transforms import field_from_transform_node, find_grid, transform_points


@dataclass(frozen=True, eq=False)
class ChainLink:
    """One transform of a chain: a vtkMRMLTransformNode, whose transform from parent is applied, or its inverse."""

    node: Any
    is_inverted: bool = False

    @property
    def transform(self) -> Any:
        """The transform that is applied, vtkAbstractTransform."""
        return self.node.GetTransformToParent() if self.is_inverted else self.node.GetTransformFromParent()


class TransformChain:
    """Transforms that map points of a reference, in their order, to points of an input, RAS mm.

    forward, backward: the map and its inverse as vtkAbstractTransform. The nodes have to live as long as the chain.
    """

    def __init__(self, links: Sequence[ChainLink]) -> None:
        self.links = tuple(links)
        self.forward = vtkGeneralTransform()
        self.forward.PostMultiply()
        for link in links:
            self.forward.Concatenate(link.transform)
        self.backward = self.forward.GetInverse()

    @property
    def is_linear(self) -> bool:
        """Whether none of the transforms bends space."""
        return all(link.node.IsLinear() for link in self.links)

    def map_points(self, points_mm: FloatArray) -> FloatArray:
        """Map points of the reference (n, 3) to points of the input."""
        return transform_points(self.forward, points_mm)

    def map_back(self, points_mm: FloatArray) -> FloatArray:
        """Map points of the input (n, 3) to points of the reference."""
        return transform_points(self.backward, points_mm)

    def find_field(self) -> DisplacementField | None:
        """Return the chain as a displacement field if it is a single one, which is sampled faster; else None."""
        if len(self.links) != 1 or self.links[0].is_inverted:
            return None
        try:
            return field_from_transform_node(self.links[0].node)
        except InputError:  # another kind of transform
            return None

    def list_unreached(self, points_mm: FloatArray) -> list[int]:
        """Return the numbers of the links whose displacement grid holds none of the points of the reference (n, 3)."""
        unreached = []
        for number, link in enumerate(self.links):
            before, points_mm = points_mm, transform_points(link.transform, points_mm)
            grid = find_grid(link.node)
            if grid is not None and not grid.contains(points_mm if link.is_inverted else before).any():
                unreached.append(number)
        return unreached

    def measure_inverse_errors_mm(self, points_mm: FloatArray) -> FloatArray:
        """Measure how far the inverse and then the chain move points of the input (n, 3); infinity where undefined."""
        distances = np.linalg.norm(self.map_points(self.map_back(points_mm)) - points_mm, axis=1)
        return np.nan_to_num(distances, nan=np.inf)
