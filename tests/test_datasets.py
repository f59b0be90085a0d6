from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import nibabel
import numpy as np
import pytest
import tifffile

from btunet import BtunetError, find_pairs
from btunet.datasets import Channels, Dataset, Sample
from btunet.images import check_contrast
from btunet.labels import targets_of_masks
from btunet.values import semantic

Y, X, Z = 12, 16, 3
RNG = np.random.default_rng(0)


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return (RNG.random(shape or (Y, X)) * 200).astype(dtype)


def box(value: int = 255, at: int = 2, dtype: Any = np.uint8) -> np.ndarray:
    mask = np.zeros((Y, X), dtype)
    mask[at : at + 3, at : at + 4] = value
    return mask


def save(path: Path, data: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".gz", ".nii"):
        nibabel.Nifti1Image(data, np.diag([1, 1, 3, 1]), dtype=data.dtype).to_filename(path)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, data, photometric="minisblack")
    else:
        imageio.imwrite(path, data)
    return data


def learnable(found: Dataset) -> Dataset:
    """Check what training needs: contrast, the same channels, and masks that fit their images."""
    stacks = [sample.read_image() for sample in found.samples]
    check_contrast(stacks)
    targets_of_masks(stacks, [sample.read_mask().data for sample in found.samples])
    return found


# ---- the sets as they are shipped


def test_the_data_science_bowl_has_a_folder_per_image_and_a_file_per_object(tmp_path: Path) -> None:
    colours = noise(Y, X, 4)
    save(tmp_path / "stage1_train/0071/images/0071.png", colours)
    for i, at in enumerate((1, 6)):
        save(tmp_path / f"stage1_train/0071/masks/{i}ab.png", box(at=at))
    save(tmp_path / "stage1_test/0114/images/0114.png", noise(Y, X, 4))
    found = learnable(find_pairs(tmp_path))
    [sample] = found.samples
    assert sample.name == "0071" and [s.name for s in found.unlabelled] == ["0114"]
    assert np.array_equal(sample.read_image().read(0), np.moveaxis(colours[..., :3], -1, 0))
    mask = sample.read_mask()
    assert mask.axes == "YX" and np.array_equal(mask.data, (box(at=1) | box(at=6)) // 255)
    assert "one file per object" in found.describe() and "every value above 0 is class 1" in found.describe()


def test_gray_that_is_stored_as_colours_stays_three_channels(tmp_path: Path) -> None:
    save(tmp_path / "a/images/a.png", np.dstack([noise()] * 3 + [np.full((Y, X), 255, np.uint8)]))
    save(tmp_path / "a/masks/1.png", box())
    assert find_pairs(tmp_path).samples[0].read_image().channels == 3


def test_breast_ultrasound_has_its_masks_beside_the_images(tmp_path: Path) -> None:
    for name in ("benign/benign (1)", "benign/benign (2)", "malignant/malignant (1)", "normal/normal (1)"):
        save(tmp_path / f"{name}.png", noise(Y, X, 3))
        save(tmp_path / f"{name}_mask.png", box(0 if name.startswith("normal") else 255))
    save(tmp_path / "benign/benign (1)_mask_1.png", box(at=7))
    found = learnable(find_pairs(tmp_path))
    masks = {sample.name: sample.read_mask().data for sample in found.samples}
    assert list(masks) == ["benign (1)", "benign (2)", "malignant (1)", "normal (1)"]
    assert np.array_equal(masks["benign (1)"], (box() | box(at=7)) // 255)
    assert np.array_equal(masks["malignant (1)"], box(1))
    assert not masks["normal (1)"].any()
    assert found.describe() == (
        "4 images with a mask (masks beside the images); in the masks 0 is class 0, 255 is class 1"
    )


def test_a_mask_of_black_and_white_or_of_equal_colours_is_one(tmp_path: Path) -> None:
    from PIL import Image

    for name in "ab":
        save(tmp_path / f"{name}.png", noise())
    Image.fromarray(box()).convert("1").save(tmp_path / "a_mask.png")
    save(tmp_path / "b_mask.png", np.dstack([box()] * 3))
    for sample in find_pairs(tmp_path).samples:
        assert np.array_equal(sample.read_mask().data, box(1)), sample.name


@pytest.mark.parametrize("ending", ["_segmentation", "_Segmentation", "_mask", "_gt", "_seg", "-seg", ""])
def test_skin_lesions_have_their_masks_in_another_folder(tmp_path: Path, ending: str) -> None:
    for i in range(3):
        save(tmp_path / f"input/ISIC_000000{i}.jpg", noise(Y, X, 3))
    for i in range(2):
        save(tmp_path / f"truth/ISIC_000000{i}{ending}.png", box())
    (tmp_path / "input/LICENSE.txt").write_text("terms")
    found = learnable(find_pairs(tmp_path / "input", tmp_path / "truth"))
    assert [s.name for s in found.samples] == ["ISIC_0000000", "ISIC_0000001"]
    assert [s.name for s in found.unlabelled] == ["ISIC_0000002"]
    assert np.array_equal(found.samples[0].read_mask().data, box(1))


def volume(dtype: Any = np.int16) -> np.ndarray:
    return noise(X, Y, Z, dtype=dtype)


def labels(values: list[int], dtype: Any = np.uint8) -> np.ndarray:
    return np.resize(np.array(values, dtype), (X, Y, Z))


OLD = ("{}_flair", "{}_t1", "{}_t1ce", "{}_t2", "{}_seg")
NEW = ("{}-t2f", "{}-t1n", "{}-t1c", "{}-t2w", "{}-seg")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("names", [OLD, NEW])
def test_the_modalities_of_a_brain_are_channels_and_its_gaps_are_closed(
    tmp_path: Path, names: tuple[str, ...], suffix: str
) -> None:
    written = {}
    for folder, values in (("HGG/Brats18_A_1", [0, 1, 4]), ("LGG/Brats18_B_1", [0, 2, 0])):
        patient = folder[4:]
        for name in names[:4]:
            written[name, patient] = save(tmp_path / folder / f"{name.format(patient)}{suffix}", volume())
        save(tmp_path / folder / f"{names[4].format(patient)}{suffix}", labels(values, np.int16))
    (tmp_path / "survival_data.csv").write_text("")
    found = learnable(find_pairs(tmp_path))
    assert [s.name for s in found.samples] == ["Brats18_A_1", "Brats18_B_1"] and not found.unlabelled
    assert found.classes == {0: 0, 1: 1, 2: 2, 4: 3}
    assert "4 is class 3" in found.describe()
    sample = found.samples[0]
    image, mask = sample.read_image(), sample.read_mask()
    assert (image.axes, image.channels, image.planes, image.scale) == ("CZYX", 4, Z, (3, 1, 1))
    for channel, name in enumerate(names[:4]):
        assert np.array_equal(image.read(2)[channel], written[name, "Brats18_A_1"][:, :, 2].T)
    assert mask.axes == "ZYX" and np.array_equal(mask.data, labels([0, 1, 3]).T)
    [alone] = find_pairs(tmp_path / "LGG/Brats18_B_1").samples
    assert alone.images == found.samples[1].images


def test_a_patient_without_a_mask_still_has_its_channels(tmp_path: Path) -> None:
    for patient in "ab":
        for name in OLD[: 5 - (patient == "b")]:
            save(tmp_path / f"{name.format(patient)}.nii", volume())
    [other] = find_pairs(tmp_path, instances=True).unlabelled
    assert other.name == "b" and other.read_image().axes == "CZYX"


def test_channels_are_read_from_the_disk_when_they_are_asked_for(tmp_path: Path) -> None:
    for name in OLD:
        save(tmp_path / f"{name.format('a')}.nii", volume())
    data = find_pairs(tmp_path, instances=True).samples[0].read_image().data
    assert isinstance(data, Channels) and all(isinstance(part, np.memmap) for part in data.parts)


@pytest.mark.parametrize("index", [(...,), (), 1, slice(1, None), (-1, 2), (slice(None), 1, slice(2, 5)), (..., 3)])
def test_channels_are_indexed_as_one_array(index: Any) -> None:
    parts = [noise(4, 5, 6), noise(4, 5, 6, dtype=np.int16)]
    found = Channels(parts)[index]
    assert np.array_equal(found, np.stack(parts)[index]) and found.dtype == np.int16


def test_points_in_time_are_no_modalities(tmp_path: Path) -> None:
    for time in ("t1", "t2"):
        save(tmp_path / f"cell_{time}.png", noise())
        save(tmp_path / f"cell_{time}_mask.png", box())
    assert [s.name for s in learnable(find_pairs(tmp_path)).samples] == ["cell_t1", "cell_t2"]


def test_cardiac_frames_pair_and_the_film_has_no_mask(tmp_path: Path) -> None:
    for patient in ("patient001", "patient002"):
        save(tmp_path / f"training/{patient}/{patient}_4d.nii.gz", noise(X, Y, Z, 2, dtype=np.int16))
        for frame in ("frame01", "frame12"):
            save(tmp_path / f"training/{patient}/{patient}_{frame}.nii.gz", volume())
            save(tmp_path / f"training/{patient}/{patient}_{frame}_gt.nii.gz", labels([0, 1, 2, 3]))
    found = learnable(find_pairs(tmp_path))
    assert len(found.samples) == 4 and [s.name for s in found.unlabelled] == ["patient001_4d", "patient002_4d"]
    assert {s.group for s in (*found.samples, *found.unlabelled)} == {"patient001", "patient002"}
    assert found.classes == {0: 0, 1: 1, 2: 2, 3: 3}
    assert found.samples[0].read_mask().spatial_shape == (Z, Y, X)
    assert found.unlabelled[0].read_image().axes == "TZYX"


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("patient001_frame12", "patient001"),
        ("patient101_ED_z02", "patient101"),
        ("BraTS-GLI-00005-101", "BraTS-GLI-00005"),
        ("Brats18_TCIA_1", "Brats18_TCIA_1"),
        ("benign (1)", "benign (1)"),
    ],
)
def test_images_of_one_patient_are_of_one_group(name: str, group: str) -> None:
    assert Sample(name, ()).group == group


def test_a_stack_and_its_labels_are_one_pair(tmp_path: Path) -> None:
    volume, membranes = noise(Z, Y, X), np.stack([box()] * Z)
    save(tmp_path / "train-volume.tif", volume)
    save(tmp_path / "train-labels.tif", membranes)
    [sample] = learnable(find_pairs(tmp_path / "train-volume.tif", tmp_path / "train-labels.tif")).samples
    assert sample.name == "train-volume" and sample.read_image().planes == Z
    assert np.array_equal(sample.read_mask().data, membranes // 255)


@pytest.mark.parametrize("named", [True, False])
def test_two_folders_of_the_same_names_pair(tmp_path: Path, named: bool) -> None:
    for name in ("a", "b_mask"):  # a name that looks like a mask's is one only if no image has it
        save(tmp_path / f"images/{name}.tif", noise(Z, Y, X))
        save(tmp_path / f"masks/{name}.tif", np.stack([box(2), box(1), box(255)]))
    folders = (tmp_path / "images", tmp_path / "masks") if named else (tmp_path,)
    found = learnable(find_pairs(*folders))
    assert [s.name for s in found.samples] == ["a", "b_mask"]
    assert found.classes == {0: 0, 1: 1, 2: 2, 255: 255}
    assert "255 is ignored" in found.describe()


# ---- what values mean


def of_values(folder: Path, *masks: np.ndarray, **options: Any) -> Dataset:
    for i, mask in enumerate(masks):
        save(folder / f"images/{i}.tif", noise())
        save(folder / f"masks/{i}.tif", mask)
    return find_pairs(folder, **options)


def test_255_in_one_file_is_what_it_is_in_the_whole_set(tmp_path: Path) -> None:
    found = of_values(tmp_path, box(255), box(1))  # nothing but ignored pixels in the first
    assert found.classes == {0: 0, 1: 1, 255: 255}
    assert np.array_equal(found.samples[0].read_mask().data, box(255))


def test_a_mask_of_floats_that_are_whole_is_one(tmp_path: Path) -> None:
    assert np.array_equal(of_values(tmp_path, box(2, dtype=np.float32)).samples[0].read_mask().data, box(1))


def test_numbered_objects_are_one_class(tmp_path: Path) -> None:
    numbered = np.arange(Y * X, dtype=np.uint16).reshape(Y, X) * 300
    found = of_values(tmp_path, numbered, box(255, dtype=np.uint16), instances=True)
    assert found.classes is None and learnable(found)
    assert np.array_equal(found.samples[0].read_mask().data, numbered > 0)
    assert np.array_equal(found.samples[1].read_mask().data, box(1))
    assert semantic(numbered).dtype == np.uint8


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.arange(Y * X, dtype=np.uint16).reshape(Y, X), "more than 33 values, so they seem to number objects"),
        (box(128) + box(255, at=7), "the masks hold 0, 128, 255, where 255 may be a class or 'ignore'"),
        (box(1) * np.float32(0.5), "0.tif holds fractions"),
        (box(1) * np.float32(np.nan), "0.tif holds fractions"),
        (box(1) * np.int16(-3), "0.tif holds -3; a mask holds 0 for background"),
    ],
)
def test_values_that_cannot_be_classes_are_refused(tmp_path: Path, mask: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        of_values(tmp_path, mask)


def test_a_mask_that_changed_since_is_refused(tmp_path: Path) -> None:
    found = of_values(tmp_path, box(1))
    save(tmp_path / "masks/0.tif", box(7))
    with pytest.raises(ValueError, match=r"0.tif holds 7; expected 0, 1 as in the rest of its set"):
        found.samples[0].read_mask()


# ---- mistakes


def mask_without_an_image(folder: Path) -> None:
    save(folder / "a.png", noise())
    save(folder / "a_mask.png", box())
    save(folder / "b_mask.png", box())


def two_masks(folder: Path) -> None:
    save(folder / "a.png", noise())
    save(folder / "a_seg.png", box())
    save(folder / "a_mask.png", box())


def one_mask_twice(folder: Path) -> None:
    save(folder / "a.png", noise())
    save(folder / "a_mask.png", box())
    save(folder / "a_mask.tif", box())


def one_name_twice(folder: Path) -> None:
    for name in "xy":
        save(folder / name / "a.png", noise())
        save(folder / name / "a_mask.png", box())


def colours_for_classes(folder: Path) -> None:
    save(folder / "a.png", noise())
    save(folder / "a_mask.png", noise(Y, X, 3))


def masks_of_two_sizes(folder: Path) -> None:
    save(folder / "a.png", noise())
    save(folder / "a_mask.png", box())
    save(folder / "a_mask_1.png", box()[1:])


def a_missing_modality(folder: Path) -> None:
    for name in OLD:
        save(folder / f"a/{name.format('a')}.nii", volume())
        if not name.endswith("t1ce"):
            save(folder / f"b/{name.format('b')}.nii", volume())


def one_modality_twice(folder: Path) -> None:
    for name in OLD:
        save(folder / f"{name.format('a')}.nii", volume())
    save(folder / "a_flair.nii.gz", volume())


def many_images_in_a_nested_folder(folder: Path) -> None:
    for name in "ab":
        save(folder / f"train/images/{name}.png", noise())
        save(folder / f"train/masks/{name}.png", box())


def only_images(folder: Path) -> None:
    save(folder / "images/a.png", noise())
    save(folder / "images/b.png", noise())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (mask_without_an_image, r"1 of 2 masks have no image of the same name \(first: b_mask.png\)"),
        (two_masks, "a_mask.png and a_seg.png are masks of one image; keep one"),
        (one_mask_twice, "a_mask.png and a_mask.tif are masks of one image; keep one"),
        (one_name_twice, "several images in .* are called a; pairs are found by name"),
        (colours_for_classes, "a_mask.png is in colour; a mask is a gray image"),
        (masks_of_two_sizes, "a_mask.png and a_mask_1.png are masks of one image but differ in size"),
        (a_missing_modality, "b has 3 modalities and a has 4; expected the same of all"),
        (one_modality_twice, "a_flair.nii and a_flair.nii.gz are one modality of one patient"),
        (many_images_in_a_nested_folder, "train/images holds 2 images; expected one"),
        (only_images, "holds 2 images but no mask; expected a.png beside a_mask.png"),
        (lambda folder: (folder / "notes.txt").write_text("-"), "holds no image; expected files ending in"),
        (lambda folder: folder.rmdir(), "does not exist; check the spelling"),
    ],
)
def test_what_is_no_set_is_refused_in_one_sentence(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    (tmp_path / "set").mkdir()
    make(tmp_path / "set")
    with pytest.raises(ValueError, match=message) as raised:
        find_pairs(tmp_path / "set")
    assert "\n" not in str(raised.value)


def test_hidden_files_are_not_looked_at(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise())
    save(tmp_path / "a_mask.png", box())
    for name in ("__MACOSX/._a.png", ".thumbnails/b_mask.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"not an image")
    assert len(find_pairs(tmp_path).samples) == 1


def test_a_broken_mask_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", volume())
    (tmp_path / "a_gt.nii.gz").write_bytes((tmp_path / "a.nii.gz").read_bytes()[:-200])
    with pytest.raises(BtunetError, match=r"a_gt\.nii\.gz cannot be read") as raised:
        find_pairs(tmp_path)
    assert "\n" not in str(raised.value)


def test_channels_of_two_shapes_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise())
    save(tmp_path / "b.png", noise(Y, X + 1))
    with pytest.raises(ValueError, match=r"the channels of a differ: .*; expected gray images of one shape"):
        Sample("a", (tmp_path / "a.png", tmp_path / "b.png")).read_image()


def test_a_sample_without_a_mask_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a has no mask"):
        Sample("a", (tmp_path / "a.png",)).read_mask()
