"""The refinement of one pair: coarse steps for multimodal pairs, the similarity for the pair, the starts to try."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch

from ..geometry.transforms import AffineTransform
from ..network.flow_conversion import Deformation
from ..result.progress import Progress, ignore_progress
from ..result.result import Metric
from ..result.settings import RefinementPreset
from .images import RefinementImages
from .local_correlation import LocalCorrelation
from .mind import MindSimilarity
from .optimizer import MakeSimilarity, Start, measure_similarity, refine
from .settings import RefinementSettings


@dataclass(frozen=True, eq=False)
class PairRefinement:
    """The refinement of the deformations of one pair.

    metric: the similarity for its images, by `core.refinement.multimodal.choose_metric`.
    """

    settings: RefinementSettings
    images: RefinementImages
    metric: Metric

    def take_multimodal_steps(self, deformation: Deformation) -> Deformation:
        """Take a few coarse steps, as multimodal pairs get them without a refinement, in less than a second.

        The network is less reliable for multimodal pairs: its deformation alone may be worse than the affine alignment.
        So the steps start from the network's deformation and from none, and the better match is returned.
        """
        make_similarity, settings = self._choose_similarity()
        starts = [Start(start, self.images) for start in (deformation, _make_identity(deformation))]
        return refine(starts, make_similarity, RefinementPreset.NONE, settings, ignore_progress)[0]

    def refine(
        self,
        preset: RefinementPreset,
        deformation: Deformation,
        initial: AffineTransform,
        trust_headers: bool,
        progress: Progress,
    ) -> tuple[Deformation, AffineTransform]:
        """Refine a deformation that follows an initial alignment; returns both, since the alignment may change.

        preset: `fast` or `best`. trust_headers: whether the positions in the headers may be right. They are then tried
        as a second start if the card allows it: the affine stage follows the largest structure, but between two scans
        of one session, breathing, the spine and the walls of the body have not moved.
        """
        make_similarity, settings = self._choose_similarity()
        starts = [Start(deformation, self.images)]
        initials = [initial]
        if trust_headers and settings.headers:
            identity = AffineTransform.identity()
            start = Start(_make_identity(deformation), self.images.replace_initial(identity))
            network_value, headers_value = (
                measure_similarity(s, make_similarity, settings) for s in (starts[0], start)
            )
            if headers_value > settings.min_headers_similarity * network_value:
                starts.append(start)
                initials.append(identity)
        tie = settings.optimizer.headers_similarity_tie
        refined, index = refine(starts, make_similarity, preset, settings, progress, tie=tie)
        return refined, initials[index]

    def _choose_similarity(self) -> tuple[MakeSimilarity, RefinementSettings]:
        """The similarity for the pair's metric, and the settings for it."""
        settings = self.settings
        if self.metric == Metric.MIND:
            stiff = replace(
                settings,
                update_voxels=settings.multimodal_update_voxels,
                elastic_voxels=settings.multimodal_elastic_voxels,
                coarse_steps=settings.optimizer.coarse_steps_without_network,
                finest=settings.mind.finest,
            )
            return partial(MindSimilarity, settings=settings.mind), stiff
        return partial(LocalCorrelation, radius=settings.window_voxels, settings=settings.correlation), settings


def _make_identity(deformation: Deformation) -> Deformation:
    """A deformation without displacement, on the same grid."""
    return Deformation(torch.zeros_like(deformation.flow), deformation.geometry)
