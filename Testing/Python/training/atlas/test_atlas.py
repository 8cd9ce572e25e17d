from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import binary_erosion, map_coordinates
from torch import Tensor, nn

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.network.flows import compose, exponential, resize_flow, voxel_grid, warp
from LightRegistrationLib.training.atlas import preparation
from LightRegistrationLib.training.atlas.fitting import CheckpointSettings
from LightRegistrationLib.training.atlas.learning import (
    AtlasTransforms,
    LearningSettings,
    SpatialTransforms,
    learn_transforms,
    predict_appearance_changes,
    predict_spatial_transforms,
    spatial_step,
    train_appearance,
    train_spatial,
)
from LightRegistrationLib.training.atlas.networks import (
    AlignedScan,
    Atlas,
    appearance_terms,
    build_spatial,
    inverse_flow,
    roughness,
)
from LightRegistrationLib.training.atlas.preparation import PreparedAtlas
from LightRegistrationLib.training.atlas.source import AtlasSettings, AtlasSource

SHAPE = (16, 32, 32)
VALUES = torch.tensor([0.05, 0.4, 0.7, 0.55])
CHANGE = 0.15
FEW = LearningSettings(spatial_steps=3, appearance_steps=3)


def analytic_atlas(shape: tuple[int, int, int] = SHAPE, scale: float = 1.0) -> Atlas:
    """An ellipsoid (1) with two unlike organs (2, 3) in it and a fine texture."""
    middle = (torch.tensor(shape[::-1]) - 1).view(1, 3, 1, 1, 1) / 2
    i, j, k = (voxel_grid(shape, torch.device("cpu")) - middle)[0] / scale
    labels = torch.zeros(shape, dtype=torch.int32)
    organs = (((0, 0, 0), (13, 12, 12)), ((-5, 1, 0), (4, 5, 6)), ((5, -2, 2), (5, 4, 5)))
    for value, (center, radii) in enumerate(organs, start=1):
        squares = [((x - c) / r) ** 2 for x, c, r in zip((i, j, k), center, radii, strict=True)]
        labels[sum(squares) < 1] = value
    texture = 0.04 * torch.sin(0.9 * i + 0.3 * j) * torch.cos(0.8 * k - 0.4 * j)
    image = VALUES[labels.long()] + texture * (labels > 0)
    return Atlas(image[None, None], labels[None, None])


@dataclass
class KnownScan:
    """A scan made from the atlas: flow, scan -> atlas, and its inverse, voxels; the intensity added to each label."""

    scan: AlignedScan
    flow: Tensor
    inverse: Tensor
    change: Tensor


def known_scan(atlas: Atlas, seed: int, change: float = CHANGE) -> KnownScan:
    generator = torch.Generator().manual_seed(seed)
    velocity = resize_flow(0.3 * torch.randn(1, 3, 3, 4, 4, generator=generator), atlas.shape)
    flow, inverse = exponential(velocity, 6), exponential(-velocity, 6)
    per_label = torch.tensor([0, 0, change, -change])
    image = warp(atlas.image + per_label[atlas.labels.long()], flow)
    return KnownScan(AlignedScan(image, torch.ones_like(image, dtype=torch.bool)), flow, inverse, per_label)


def small_problem() -> tuple[Atlas, list[AlignedScan]]:
    atlas = analytic_atlas((16, 16, 16), 0.5)
    return atlas, [known_scan(atlas, seed).scan for seed in (1, 2, 3)]


@pytest.fixture(scope="module", autouse=True)
def _one_thread_for_all():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return analytic_atlas()


@pytest.fixture(scope="module")
def known(atlas) -> list[KnownScan]:
    return [known_scan(atlas, 1), known_scan(atlas, 3, -CHANGE)]


@pytest.fixture(scope="module")
def spatial(atlas, known) -> SpatialTransforms:
    """Predictions of g for the known scans after some training."""
    settings = LearningSettings(spatial_steps=80, spatial_rate=2e-3, spatial_smoothness=0.3)
    scans = [k.scan for k in known]
    return predict_spatial_transforms(
        train_spatial(atlas, scans, settings, torch.Generator().manual_seed(0)), atlas, scans
    )


@pytest.fixture(scope="module")
def changes(atlas, known) -> Tensor:
    """Predictions of h for the known scans after some training with their true deformations."""
    half = tuple(n // 2 for n in SHAPE)
    true = SpatialTransforms(
        *(
            torch.cat([resize_flow(f, half) for f in fs])
            for fs in zip(*((k.flow, k.inverse) for k in known), strict=True)
        )
    )
    settings = LearningSettings(appearance_steps=80, appearance_rate=2e-3)
    scans = [k.scan for k in known]
    network = train_appearance(atlas, scans, true, settings, torch.Generator().manual_seed(0))
    return predict_appearance_changes(network, atlas, scans, true).float()


def random_prepared(count: int = 3, seed: int = 0) -> PreparedAtlas:
    """A small atlas with random transforms; the field of view of the last scan is half of the grid."""
    atlas = analytic_atlas((16, 16, 16), 0.5)
    generator = torch.Generator().manual_seed(seed)
    flows = 0.7 * torch.randn(count, 3, 4, 4, 4, generator=generator)
    changes = 0.1 * torch.randn(count, 1, 16, 16, 16, generator=generator)
    views = torch.ones(count, 1, 16, 16, 16, dtype=torch.bool)
    views[-1, ..., 8:] = False
    transforms = AtlasTransforms(resize_flow(flows, (8, 8, 8)).half(), changes.half())
    return PreparedAtlas(atlas, (1, 2, 3), 2.0, transforms, views)


def without_change(prepared: PreparedAtlas) -> PreparedAtlas:
    transforms = prepared.transforms
    return replace(prepared, transforms=replace(transforms, changes=0 * transforms.changes))


def pull(image: Tensor, flow: Tensor) -> np.ndarray:
    """Sample an image (D, H, W) at the voxels displaced by a flow (3, D, H, W), with scipy."""
    i, j, k = flow.double().numpy()
    grid = np.indices(image.shape)
    return map_coordinates(image.double().numpy(), grid + np.stack([k, j, i]), order=1, mode="nearest")


def full_flow(prepared: PreparedAtlas, n: int) -> Tensor:
    return resize_flow(prepared.transforms.flows[n][None].float(), prepared.atlas.shape)[0]


def test_the_smoothness_leaves_out_what_crosses_an_edge_of_the_labels():
    rng = np.random.default_rng(0)
    psi = rng.random((4, 5, 6))
    labels = rng.integers(0, 3, psi.shape)
    means = []
    for axis in range(3):
        difference, same = np.diff(psi, axis=axis), np.diff(labels, axis=axis) == 0
        means.append((difference**2)[same].sum() / difference.size)
    both = torch.from_numpy(psi)[None, None], torch.from_numpy(labels)[None, None]
    assert float(roughness(*both)) == pytest.approx(np.mean(means), rel=1e-12)
    assert float(roughness(both[0])) == pytest.approx(
        np.mean([(np.diff(psi, axis=axis) ** 2).mean() for axis in range(3)]), rel=1e-12
    )


class Free(nn.Module):
    """Replaces h: every voxel of the change is a free parameter."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.zeros(shape))

    def forward(self, atlas: Tensor, scan: Tensor) -> Tensor:
        return self.psi


@pytest.mark.parametrize("edge", [True, False])
def test_the_best_change_of_appearance_is_smooth_but_for_the_edges_of_the_labels(edge):
    brighter = torch.zeros(1, 1, 16, 16, 16)
    brighter[..., 8:] = 1
    noise = 0.1 * torch.randn(brighter.shape, generator=torch.Generator().manual_seed(0))
    atlas = Atlas(torch.zeros_like(brighter), (brighter if edge else 0 * brighter).int())
    scan = AlignedScan(brighter + noise, torch.ones_like(brighter, dtype=torch.bool))
    network, still = Free(brighter.shape), torch.zeros(1, 3, 8, 8, 8)
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=20, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = sum(appearance_terms(network, atlas, scan, still, still, 20.0).values())
        value.backward()
        return value

    optimizer.step(loss)
    psi = network.psi.detach()
    assert float((psi - psi.mean((2, 3), keepdim=True)).std()) < 0.03
    jump = float((psi[..., 8] - psi[..., 7]).mean())
    assert jump == pytest.approx(1, abs=0.1) if edge else jump < 0.3


def test_the_inverse_of_a_cascade_undoes_it():
    generator = torch.Generator().manual_seed(3)
    velocities = [resize_flow(0.1 * torch.randn(1, 3, 3, 3, 3, generator=generator), (16, 16, 16)) for _ in range(2)]
    first, second = (exponential(v, 6) for v in velocities)
    there = compose(first, second)
    back = inverse_flow(velocities, 6)
    swapped = compose(exponential(-velocities[0], 6), exponential(-velocities[1], 6))
    size, one, other, wrong = (
        float(flow[..., 4:-4, 4:-4, 4:-4].norm(dim=1).mean())
        for flow in (there, compose(there, back), compose(back, there), compose(there, swapped))
    )
    assert max(one, other) < 0.05 * size < wrong


def test_the_spatial_transforms_find_the_known_deformations(spatial, known):
    for n, truth in enumerate(known):
        flow = resize_flow(spatial.onto_scan[n][None].float(), SHAPE)
        body = (truth.scan.image > 0.2)[:, 0]
        error, identity = ((truth.flow - found).norm(dim=1)[body].mean() for found in (flow, 0 * flow))
        assert error < 0.85 * identity


def test_the_inverse_aligns_a_scan_with_the_atlas(spatial, atlas, known):
    for n, truth in enumerate(known):
        back = resize_flow(spatial.onto_atlas[n][None].float(), SHAPE)
        restyled = atlas.image + truth.change[atlas.labels.long()]
        images = truth.scan.image, warp(truth.scan.image, back)
        before, after = ((image - restyled).square().mean() for image in images)
        assert after < 0.7 * before


def test_the_appearance_changes_are_those_of_each_structure(changes, atlas, known):
    labels = atlas.labels[0, 0].numpy()
    for psi, truth in zip(changes[:, 0].numpy(), known, strict=True):
        for value, change in enumerate(truth.change.tolist()):
            inside = psi[binary_erosion(labels == value, iterations=1 if value > 1 else 3)].mean()
            assert inside == pytest.approx(change, abs=0.5 * CHANGE)


def test_only_the_seed_determines_the_learning():
    atlas, scans = small_problem()
    results = []
    for seed, other in ((0, 5), (0, 6), (1, 6)):
        torch.manual_seed(other)
        before = torch.get_rng_state()
        results.append(learn_transforms(atlas, scans, replace(FEW, seed=seed)))
        assert torch.equal(torch.get_rng_state(), before)
    first, again, different = results
    assert torch.equal(first.flows, again.flows)
    assert torch.equal(first.changes, again.changes)
    assert not torch.equal(first.flows, different.flows)
    assert not torch.equal(first.changes, different.changes)


class Interrupted(Exception):
    pass


class InterruptingScans(Sequence[AlignedScan]):
    """Scans that raise Interrupted after a number of accesses."""

    def __init__(self, scans: Sequence[AlignedScan], accesses: int) -> None:
        self.scans = scans
        self.accesses = accesses

    def __len__(self) -> int:
        return len(self.scans)

    def __getitem__(self, index):
        if self.accesses == 0:
            raise Interrupted
        self.accesses -= 1
        return self.scans[index]


@pytest.mark.parametrize("part", ["spatial", "appearance"])
def test_a_killed_run_resumes_exactly(part, tmp_path):
    atlas, scans = small_problem()
    settings = LearningSettings(spatial_steps=5, appearance_steps=5)
    none = torch.zeros(3, 3, 8, 8, 8)

    def learn(used: Sequence[AlignedScan], checkpoints: CheckpointSettings | None) -> torch.nn.Module:
        generator = torch.Generator().manual_seed(4)
        if part == "spatial":
            return train_spatial(atlas, used, settings, generator, checkpoints)
        return train_appearance(atlas, used, SpatialTransforms(none, none), settings, generator, checkpoints)

    checkpoints = CheckpointSettings(tmp_path / "state.pt", minutes=0)
    unbroken = learn(scans, None).state_dict()
    with pytest.raises(Interrupted):
        learn(InterruptingScans(scans, 3), checkpoints)
    resumed = learn(InterruptingScans(scans, 2), checkpoints).state_dict()
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)
    finished = learn(InterruptingScans(scans, 0), checkpoints).state_dict()
    assert all(torch.equal(unbroken[name], finished[name]) for name in unbroken)
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_loss_that_is_not_finite_is_reported_and_changes_no_weight():
    atlas, (scan, *_) = small_problem()
    broken = AlignedScan(scan.image * torch.nan, scan.field_of_view)
    network = build_spatial(1, 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters())
    with pytest.raises(FloatingPointError, match="not finite"):
        spatial_step(network, optimizer, atlas, broken, FEW)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    with pytest.raises(InputError, match=r"spatial transform of the atlas, step 0: .*not finite.*; lower its"):
        learn_transforms(atlas, [broken, broken], FEW)


def test_a_state_that_cannot_be_read_is_named(tmp_path):
    atlas, (scan, *_) = small_problem()
    (tmp_path / "spatial.pt").write_bytes(b"half a state")
    with pytest.raises(InputError, match=r"spatial\.pt: this is not a readable training state"):
        learn_transforms(atlas, [scan, scan], FEW, tmp_path)


def test_draws_repeat_with_the_generator_and_differ_along_it():
    source = AtlasSource(random_prepared(), noise=0.1)
    torch.manual_seed(1)
    first, second = (source.draw(g) for g in 2 * [torch.Generator().manual_seed(7)])
    torch.manual_seed(2)
    again = source.draw(torch.Generator().manual_seed(7))
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(again, name))
    assert not torch.equal(first.fixed, second.fixed)
    assert not torch.equal(first.fixed, first.moving)
    assert first.fixed.shape == first.moving.shape == (1, 1, 16, 16, 16)
    assert first.fixed_labels.shape == first.moving_labels.shape == (1, 3, 16, 16, 16)
    assert 0 <= float(first.fixed.min()) <= float(first.fixed.max()) <= 1


def test_labels_move_with_the_image():
    prepared = without_change(random_prepared())
    plain = VALUES[prepared.atlas.labels.long()]
    prepared = replace(prepared, atlas=replace(prepared.atlas, image=plain))
    pair = AtlasSource(prepared).draw(torch.Generator().manual_seed(2))
    for clean, labels in ((pair.fixed_clean, pair.fixed_labels), (pair.moving_clean, pair.moving_labels)):
        background = 1 - labels.sum(1, keepdim=True)
        expected = (torch.cat([background, labels], dim=1) * VALUES.view(1, 4, 1, 1, 1)).sum(1)
        torch.testing.assert_close(clean[:, 0], expected, atol=1e-5, rtol=0)
        assert not torch.equal(labels, labels.round())


def test_every_image_is_the_atlas_with_the_appearance_and_the_shape_of_scans():
    prepared = random_prepared()
    source, generator = AtlasSource(prepared), torch.Generator().manual_seed(5)
    atlas, changes = prepared.atlas, prepared.transforms.changes[:, 0].float()
    flows = [full_flow(prepared, n) for n in range(3)]
    expected = {
        (i, j): np.clip(pull(atlas.image[0, 0] + changes[j], flows[i]), 0, 1) * prepared.fields_of_view[i, 0].numpy()
        for i in range(3)
        for j in range(3)
    }
    shapes = [pull(atlas.image[0, 0], flow) for flow in flows]
    structures = [[pull((atlas.labels[0, 0] == v).float(), flow) for v in (1, 2, 3)] for flow in flows]
    met = set()
    for _ in range(25):
        pair = source.draw(generator)
        used = []
        for side in ("fixed", "moving"):
            seen, clean, labels = (getattr(pair, side + part)[0].numpy() for part in ("", "_clean", "_labels"))
            (i, j), image = min(expected.items(), key=lambda item: np.abs(item[1] - seen[0]).max())
            np.testing.assert_allclose(seen[0], image, atol=1e-4)
            np.testing.assert_allclose(clean[0], shapes[i], atol=1e-4)
            np.testing.assert_allclose(labels, structures[i], atol=1e-4)
            used.append(i)
            met.add((i, j))
        assert used[0] != used[1]
    assert met == set(expected)


def test_projections_are_of_the_structures_and_the_same_for_both():
    prepared = without_change(random_prepared())
    still = replace(prepared.transforms, flows=0 * prepared.transforms.flows)
    pair = AtlasSource(replace(prepared, transforms=still)).draw(torch.Generator().manual_seed(2))
    torch.testing.assert_close(pair.fixed_clean, pair.moving_clean)
    values = [pair.fixed_clean[0, 1:][:, prepared.atlas.labels[0, 0] == v] for v in range(4)]
    assert all(float(v.std(1).max()) < 1e-4 for v in values)
    assert len({round(float(v[0, 0]), 3) for v in values}) == 4


def test_only_so_many_structures_are_drawn_the_same_for_both():
    prepared = without_change(random_prepared())
    still = replace(prepared.transforms, flows=0 * prepared.transforms.flows)
    source = AtlasSource(replace(prepared, transforms=still), structures_drawn=2)
    generator = torch.Generator().manual_seed(0)
    drawn = set()
    for _ in range(12):
        pair = source.draw(generator)
        torch.testing.assert_close(pair.fixed_labels, pair.moving_labels)
        drawn.add(tuple(int(prepared.atlas.labels[mask[None, None] > 0.9][0]) for mask in pair.fixed_labels[0]))
    assert drawn == {(1, 2), (1, 3), (2, 3)}


SETTINGS = AtlasSettings(
    atlas="atlas.nii.gz",
    atlas_labels="atlas_labels.nii.gz",
    scans="*.nii.gz",
    skip="*_labels.nii.gz",
    spatial_steps=2,
    appearance_steps=2,
)

SPACING_MM = 2.0


def write(array: np.ndarray, path: Path, origin: tuple[float, float, float] = (0, 0, 0)) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((2, 2, 2))
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))


def write_data(folder: Path) -> Path:
    """An atlas, its labels, and three scans of 26 x 26 x 26 voxels of 2 mm; scan_c ends early and lies elsewhere."""
    folder.mkdir()
    atlas = analytic_atlas((32, 32, 32))
    inner = (0, 0, *3 * [slice(3, 29)])
    write((1000 * atlas.image[inner]).short().numpy(), folder / "atlas.nii.gz")
    write(atlas.labels[inner].byte().numpy(), folder / "atlas_labels.nii.gz")
    for seed, name in enumerate("abc"):
        image = (1000 * known_scan(atlas, seed).scan.image[inner]).short().numpy()
        last = 26 if name != "c" else 20
        write(image[..., :last], folder / f"scan_{name}.nii.gz", (0, 0, 0) if name != "c" else (30, -20, 5))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[AtlasSource, Path]:
    """A source that was opened from files, and the folder of its data and its cache; tests work on copies."""
    folder = tmp_path_factory.mktemp("opened")
    return AtlasSource.open(SETTINGS, write_data(folder / "data"), folder / "cache", SPACING_MM), folder


@pytest.fixture
def opened_before(opened: tuple[AtlasSource, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The data and the cache of a source that was opened before."""
    shutil.copytree(opened[1], tmp_path, dirs_exist_ok=True)
    return tmp_path / "data", tmp_path / "cache"


def folders(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_a_source_is_opened_from_files_and_then_from_the_cache(opened, opened_before):
    (source, _), (data, cache) = opened, opened_before
    assert source.shape == (32, 32, 32)
    assert source.spacing_mm == pytest.approx(2.0, rel=0.06)
    assert source.prepared.structures == (1, 2, 3)
    (folder,) = cache.iterdir()
    assert folders(folder) == {"spatial.pt", "appearance.pt", "transforms.safetensors"}
    written = (folder / "transforms.safetensors").stat().st_mtime_ns
    for name in ("spatial.pt", "appearance.pt"):
        (folder / name).unlink()
    again = AtlasSource.open(replace(SETTINGS, noise=0.5, structures=(2, 3)), data, cache, SPACING_MM)
    assert (folder / "transforms.safetensors").stat().st_mtime_ns == written
    assert torch.equal(again.prepared.transforms.changes, source.prepared.transforms.changes)
    assert again.draw(torch.Generator()).fixed_labels.shape[1] == 2


def test_other_settings_or_files_are_learned_again(opened_before, monkeypatch):
    """Each new learning is interrupted where it begins: aligning the scans takes a second each."""
    data, cache = opened_before

    def interrupt(*_: object) -> None:
        raise Interrupted

    monkeypatch.setattr(preparation, "align_affine", interrupt)
    AtlasSource.open(SETTINGS, data, cache, SPACING_MM)
    seen = folders(cache)
    for settings in (replace(SETTINGS, spatial_smoothness=2.0), replace(SETTINGS, intensity={"high": 95.0})):
        with pytest.raises(Interrupted):
            AtlasSource.open(settings, data, cache, SPACING_MM)
        assert len(folders(cache) - seen) == 1
        seen = folders(cache)
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(data / "scan_a.nii.gz")))
    write(array + 1, data / "scan_a.nii.gz")
    with pytest.raises(Interrupted):
        AtlasSource.open(SETTINGS, data, cache, SPACING_MM)
    assert len(folders(cache) - seen) == 1


def test_scans_are_aligned_to_the_atlas_and_have_their_field_of_view(opened):
    source, _ = opened
    views = source.prepared.fields_of_view.flatten(1).float().mean(1)
    assert views[2] < 0.85 * views[0]
    whole = source.prepared.fields_of_view[2, 0]
    assert not whole[..., -1].any()
    assert whole[16, 16, 12]


def test_a_damaged_cache_is_named(opened_before):
    data, cache = opened_before
    (file,) = cache.glob("*/transforms.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"transforms\.safetensors: this file is damaged; delete it"):
        AtlasSource.open(SETTINGS, data, cache, SPACING_MM)


def test_a_cache_that_cannot_be_written_is_named(data, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match=r"this folder cannot be made"):
        AtlasSource.open(SETTINGS, data, tmp_path / "cache", SPACING_MM)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"atlas": "none.nii.gz"}, r"none\.nii\.gz: there is no such file; check the key 'atlas'"),
        ({"atlas_labels": "none.nii.gz"}, r"none\.nii\.gz: there is no such file; check the key 'atlas_labels'"),
        ({"scans": "scan_a*"}, r"data: 1 files match scans = 'scan_a\*'; an atlas needs at least two scans"),
        ({"structures": (2, 9)}, r"atlas_labels\.nii\.gz: it does not have the label values \[9\]"),
        ({"atlas_labels": "empty_labels.nii.gz"}, r"empty_labels\.nii\.gz: it does not have any structure"),
        ({"scans": "*.nii.gz", "atlas": "flat.nii.gz"}, r"flat\.nii\.gz: all voxels have the same value"),
    ],
)
def test_bad_input_is_one_line_that_names_file_and_key(change, message, data, tmp_path):
    write(np.zeros((26, 26, 26), np.uint8), data / "empty_labels.nii.gz")
    write(np.zeros((26, 26, 26), np.uint8), data / "flat.nii.gz")
    with pytest.raises(InputError, match=message) as caught:
        AtlasSource.open(replace(SETTINGS, **change), data, tmp_path / "cache", SPACING_MM)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"spatial_steps": 0},
        {"appearance_rate": 0.0},
        {"spatial_smoothness": -1.0},
        {"window": 4},
        {"cascades": 4},
        {"noise": -0.1},
        {"structures_drawn": 0},
        {"intensity": {"kind": "guess"}},
        {"intensity": {"hihg": 99.0}},
    ],
)
def test_invalid_settings_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(SETTINGS, **change)
