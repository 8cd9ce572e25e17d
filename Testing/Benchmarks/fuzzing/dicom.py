"""Made-up DICOM series."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from .images import LPS_TO_RAS, MadeVolume


def make_series(
    volume: MadeVolume, random: Random, folder: Path, patient: str = "Doe^Jane", patient_id: str = "1"
) -> list[Path]:
    """Write a volume (int16, right-handed) as single slices or as one multi-frame file; returns the files."""
    folder.mkdir()
    datasets = [_frames(volume)] if random.random() < 0.3 else [_slice(volume, k) for k in range(len(volume.array))]
    random.shuffle(datasets)
    files = [folder / f"{n}.dcm" for n in range(len(datasets))]
    for dataset, file in zip(datasets, files, strict=True):
        dataset.PatientName, dataset.PatientID = patient, patient_id
        dataset.save_as(file, enforce_file_format=True)
    return files


def _dataset(volume: MadeVolume, name: str, storage: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = storage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[name])
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = (generate_uid(entropy_srcs=[word]) for word in ("a", "b"))
    data.Modality, data.SeriesNumber, data.SeriesDescription = "CT", 3, "made up"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.Rows, data.Columns = volume.array.shape[1:]
    return data


def _write_numbers(values: np.ndarray) -> list[str]:
    """Numbers as DICOM holds them: 16 characters at most."""
    return [f"{value:.10f}"[:16] for value in values]


def _slice(volume: MadeVolume, k: int) -> FileDataset:
    data = _dataset(volume, str(k), CTImageStorage)
    lps = LPS_TO_RAS @ volume.affine
    axes = lps[:3, :3] / volume.spacing
    data.ImagePositionPatient = _write_numbers(lps[:3, 3] + k * lps[:3, 2])
    data.ImageOrientationPatient = _write_numbers(axes[:, :2].T.ravel())
    data.PixelSpacing = _write_numbers(volume.spacing[[1, 0]])
    data.InstanceNumber, data.RescaleSlope, data.RescaleIntercept = k + 1, 1, 0
    data.PixelData = volume.array[k].tobytes()
    return data


def _frames(volume: MadeVolume) -> FileDataset:
    data = _dataset(volume, "frames", EnhancedCTImageStorage)
    data.NumberOfFrames = len(volume.array)
    lps = LPS_TO_RAS @ volume.affine
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = _write_numbers(volume.spacing[[1, 0]]), 1
    orientation.ImageOrientationPatient = _write_numbers((lps[:3, :3] / volume.spacing)[:, :2].T.ravel())
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in range(len(volume.array)):
        frame, place, scale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = _write_numbers(lps[:3, 3] + k * lps[:3, 2])
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, 0, "HU"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = Sequence([place]), Sequence([scale])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.PixelData = volume.array.tobytes()
    return data
