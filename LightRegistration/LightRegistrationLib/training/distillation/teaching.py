"""The settings of the table [teacher] of a distillation: where the deformations that are taught come from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...core.refinement.settings import REFINEMENT, RefinementSettings

TEACHER_KINDS = ("network", "refinement", "stored")


@dataclass(frozen=True)
class TeachingConfig:
    """The teacher of a distillation.

    kind: `network` (a trained recursive cascaded network), `refinement` (the deformation of a student, refined on the
    noise-free images) or `stored` (fields of any tool). The others belong to `refinement`: model, name of an installed
    model whose deformation is refined (none: that of the run that is given, or no deformation); update_voxels,
    elastic_voxels, window_voxels, coarsest: as in a model's card (`core.refinement.settings`). From no deformation,
    coarsest = 4 left as little tissue error as 8 (0.163 of the variance; 0.57 before; 8 pairs at 4 mm, read once).
    """

    kind: str = "network"
    model: str = ""
    update_voxels: float = REFINEMENT.update_voxels
    elastic_voxels: float = REFINEMENT.elastic_voxels
    window_voxels: int = REFINEMENT.window_voxels
    coarsest: int = 4

    def __post_init__(self) -> None:
        if self.kind not in TEACHER_KINDS:
            raise ValueError(f"kind has to be one of {', '.join(TEACHER_KINDS)}, got {self.kind!r}")
        if self.model and self.kind != "refinement":
            raise ValueError(f"model belongs to kind = 'refinement', not to {self.kind!r}")
        if self.update_voxels < 0.7 or not 0 <= self.elastic_voxels <= 4:
            raise ValueError(
                f"update_voxels has to be 0.7 or more and elastic_voxels from 0 to 4, got {self.update_voxels} and "
                f"{self.elastic_voxels}"
            )
        if not 1 <= self.window_voxels <= 6 or self.coarsest not in (1, 2, 4, 8):
            raise ValueError(
                f"window_voxels has to be from 1 to 6 and coarsest 1, 2, 4 or 8, got {self.window_voxels} and "
                f"{self.coarsest}"
            )

    def refinement_settings(self) -> RefinementSettings:
        """The settings for `core.refinement`."""
        return replace(
            REFINEMENT,
            update_voxels=self.update_voxels,
            elastic_voxels=self.elastic_voxels,
            window_voxels=self.window_voxels,
            coarsest=self.coarsest,
        )
