import io
import os
import pickle
import pickletools
import resource
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from crosspoint.eval.protocols.pointbert_folds import evaluate_folds, find_folds, folds_svm, read_fold, stored_settings
from crosspoint.eval.restricted_pickle import RestrictedUnpickler
from crosspoint.eval.results import Result
from tests.refusals import hash_bomb, refused

SETTINGS = [(2, 3), (3, 4)]


def made_fold(ways=2, shots=3, seed=0, points=40, queries=5):
    """As Point-BERT's script makes them: shuffled tuples of a cloud with normals, an int and a numpy scalar."""
    generator = np.random.default_rng(seed)
    shapes = generator.uniform(0.2, 2.0, size=(ways, 1, 6))

    def part(count):
        entries = [
            ((generator.normal(size=(points, 6)) * shapes[way] + 3).astype(np.float32), way, np.int32(7 * way + 2))
            for way in range(ways)
            for _ in range(count)
        ]
        return [entries[i] for i in generator.permutation(len(entries))]

    return {"train": part(shots), "test": part(queries)}


def write(path, content, protocol=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.fixture
def archive(tmp_path):
    for ways, shots in SETTINGS:
        for fold in range(4):
            write(tmp_path / f"{ways}way_{shots}shot/{fold}.pkl", made_fold(ways, shots, seed=10 * ways + fold))
    return tmp_path


def extents(points):
    """Features of clouds that tell the made classes apart, but not all of them."""
    return np.concatenate([points.std(axis=1), points.mean(axis=1)], axis=1)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("numpy_1", [False, True])
def test_a_made_fold_comes_back(tmp_path, protocol, numpy_1):
    if np.__version__.startswith("1.") and not numpy_1:
        pytest.skip("NumPy 1 writes its own names")
    made = made_fold()
    path = write(tmp_path / "0.pkl", made, protocol)
    if numpy_1 and protocol < 4:  # numpy 1 had another name for the module, of which these protocols hold no length
        path.write_bytes(path.read_bytes().replace(b"cnumpy._core.", b"cnumpy.core."))
    elif numpy_1:
        old = path.read_bytes().replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
        old = old.replace(b"\x8c\x13numpy._core.numeric", b"\x8c\x12numpy.core.numeric")
        path.write_bytes(b"\x80\x04" + old[11:])  # without the frame, whose length changed
    assert (b"numpy.core" in path.read_bytes()) == numpy_1
    fold = read_fold(path, 2, 3, points=None, normalize=False)
    for points, labels, entries in (
        (fold.train_points, fold.train_labels, made["train"]),
        (fold.test_points, fold.test_labels, made["test"]),
    ):
        np.testing.assert_array_equal(points, np.stack([cloud[:, :3] for cloud, _, _ in entries]))
        np.testing.assert_array_equal(labels, [label for _, label, _ in entries])
        assert points.dtype == np.float32 and labels.dtype == np.int64


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_any_numbers_and_order_come_back(tmp_path, protocol):
    x = np.random.default_rng(0).integers(0, 2, size=(5, 6))
    kinds = ["f2", "f4", ">f4", "f8", "i1", ">i8", "u2", "?"]
    arrays = [x.astype(kind)[:, cut] for kind in kinds for cut in (slice(None), slice(3), slice(None, None, -2))]
    arrays += [np.asfortranarray(x), np.array(3.5), x[None]]
    numbers = [np.float32(0.1), np.int64(-3), np.bool_(True), 2, 0.5, "text", None, b"\xff\x00", (1, [2])]
    path = write(tmp_path / "0.pkl", {"arrays": arrays, "numbers": numbers}, protocol)
    with path.open("rb") as file:
        stored = RestrictedUnpickler(file).load()
    for ours, array in zip(stored["arrays"], arrays, strict=True):
        np.testing.assert_array_equal(ours.array, array)
        assert ours.array.dtype == array.dtype
    assert stored["numbers"] == numbers
    assert not any(isinstance(number, np.generic) for number in stored["numbers"])


def test_clouds_are_normalized_whole_and_then_cut(tmp_path):
    made = made_fold()
    fold = read_fold(write(tmp_path / "0.pkl", made), 2, 3, points=16)
    for ours, (cloud, _, _) in zip(fold.test_points, made["test"], strict=True):
        centered = cloud[:, :3] - cloud[:, :3].mean(axis=0)
        np.testing.assert_allclose(ours, (centered / np.linalg.norm(centered, axis=1).max())[:16], atol=1e-6)


def test_the_svm_can_be_had_again_with_scikit_learn(archive, tmp_path):
    result = folds_svm(archive, extents, settings=SETTINGS, folds=4, points=20, C=0.3)
    for row in result.records:
        made = made_fold(row["ways"], row["shots"], seed=10 * row["ways"] + row["fold"])
        split = []
        for part in ("train", "test"):
            clouds = np.stack([cloud[:, :3] for cloud, _, _ in made[part]])
            clouds = clouds - clouds.mean(axis=1, keepdims=True)
            clouds /= np.linalg.norm(clouds, axis=2).max(axis=1)[:, None, None]
            split += [extents(clouds[:, :20]), [label for _, label, _ in made[part]]]
        machine = make_pipeline(StandardScaler(), SVC(kernel="linear", C=0.3)).fit(*split[:2])
        assert row["accuracy"] == pytest.approx(100 * machine.score(*split[2:]))
    for ways, shots in SETTINGS:
        scores = [row["accuracy"] for row in result.records if row["ways"] == ways]
        assert len(scores) == 4
        assert result.metrics[f"{ways}way_{shots}shot"] == pytest.approx(sum(scores) / 4)
        assert result.metrics[f"{ways}way_{shots}shot_std"] == pytest.approx(np.sqrt(np.var(scores, ddof=0)))
    assert 50 < result.metrics["2way_3shot"] and result.metrics["3way_4shot"] < 100
    assert result.protocol == "folds/svm" and result.constants["C"] == 0.3
    assert folds_svm(archive, extents, settings=SETTINGS, folds=4, points=20, C=0.3) == result
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result


def test_a_hook_is_given_each_fold_with_its_seed(archive):
    seen, rows = [], []

    def tune(train_points, train_labels, test_points, test_labels, seed):
        assert train_points.shape == (len(train_labels), 40, 3) and test_points.shape == (len(test_labels), 40, 3)
        seen.append((len(set(train_labels.tolist())), train_points.sum(), seed))
        return {"accuracy": seed % 101, "accuracy_other": 1}

    result = evaluate_folds(archive, tune, settings=SETTINGS, folds=3, points=None, seed=5, on_fold=rows.append)
    assert result.protocol == "folds/finetune" and rows == result.records
    assert [ways for ways, _, _ in seen] == [2, 2, 2, 3, 3, 3] and len({points for _, points, _ in seen}) == 6
    assert [row["seed"] for row in rows] == [seed for _, _, seed in seen]
    assert [row["accuracy"] for row in rows] == [seed % 101 for _, _, seed in seen]
    assert (result.metrics["2way_3shot_other"], result.metrics["2way_3shot_other_std"]) == (1, 0)
    assert len({row["seed"] for row in rows}) == 3
    assert (
        evaluate_folds(archive, tune, settings=SETTINGS, folds=3, points=None, seed=6).records[0]["seed"]
        != rows[0]["seed"]
    )
    with pytest.raises(ValueError, match="found accuracy nan"):
        evaluate_folds(archive, lambda *_: {"accuracy": np.nan}, settings=SETTINGS, folds=1, points=9)


def test_what_was_finished_before_an_interrupt_is_known(archive):
    rows = []

    def tune(*_):
        if len(rows) == 2:
            raise KeyboardInterrupt
        return {"accuracy": 50.0}

    with pytest.raises(KeyboardInterrupt):
        evaluate_folds(archive, tune, settings=SETTINGS, folds=4, points=9, on_fold=rows.append)
    assert [row["fold"] for row in rows] == [0, 1]


def test_missing_files_are_found_before_work_starts(archive):
    (archive / "3way_4shot/2.pkl").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"3way_4shot/2\.pkl \(1 of 8 folds are missing\).*DATASET\.md"
    ) as error:
        evaluate_folds(archive, lambda *_: pytest.fail("work was started"), settings=SETTINGS, folds=4)
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="40 of 40"):
        folds_svm(archive / "nowhere", extents)
    assert len(find_folds(archive, SETTINGS, 2)[3, 4]) == 2


def test_the_folders_of_the_description_are_found_too(archive):
    expected = folds_svm(archive, extents, settings=[(2, 3)], folds=4, points=9)
    (archive / "2way_3shot").rename(archive / "2way3shot")
    assert folds_svm(archive, extents, settings=[(2, 3)], folds=4, points=9) == expected


class Command:
    """Runs a command where it is unpickled."""

    def __init__(self, call, *arguments):
        self.recipe = call, arguments

    def __reduce__(self):
        return self.recipe


def hostile_pickles(fingerprint):
    """Bytes that call something, by each way that pickles have to."""
    command = f"touch {fingerprint}"
    payloads = {
        "os.system": Command(os.system, command),
        "eval": Command(eval, f"open({str(fingerprint)!r}, 'w')"),
        "numpy's own caller": Command(np.testing.measure, f"open({str(fingerprint)!r}, 'w')"),
        "getattr": Command(getattr, "text", "format"),
        "numpy.load": Command(np.load, str(fingerprint)),
        "objects": np.array([Command(os.system, command)], dtype=object),
        "records": np.zeros(2, dtype=[("a", "f4")]),
    }
    files = {}
    for name, payload in payloads.items():
        for protocol in (2, 4, 5):
            files[f"{name}, {protocol}"] = pickle.dumps({**made_fold(), "more": payload}, protocol=protocol)
    shell = f"(S'{command}'\n".encode()
    files["INST"] = b"(S'" + command.encode() + b"'\nios\nsystem\n."
    files["OBJ"] = b"(cos\nsystem\nS'" + command.encode() + b"'\no."
    files["GLOBAL"] = b"cos\nsystem\n" + shell + b"tR."
    files["dotted"] = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    files["codec"] = b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR."
    files["state of a function"] = b"c_codecs\nencode\n(N}S'__defaults__'\n(I1\ntstb."
    files["state of a class"] = b"cnumpy\nndarray\n(N}S'data'\nI1\nstb."
    files["odd type"] = b"cnumpy\ndtype\n(S'V8'\ntR."
    files["odd order"] = b"cnumpy\ndtype\n(S'f4'\ntR(I3\nS'f4,'\ntb."
    return files


def test_hostile_files_are_refused_and_call_nothing(tmp_path):
    fingerprint = tmp_path / "fingerprint"
    pickle.loads(hostile_pickles(fingerprint)["os.system, 4"])
    assert fingerprint.exists(), "these files would do harm"
    fingerprint.unlink()
    for name, content in hostile_pickles(fingerprint).items():
        pickletools.dis(content, out=io.StringIO())  # they are pickles
        path = tmp_path / "0.pkl"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot be read as plain arrays \(") as error:
            read_fold(path, 2, 3)
        assert "\n" not in str(error.value), name
        assert not fingerprint.exists(), name
    path.write_bytes(hostile_pickles(fingerprint)["os.system, 4"])
    with pytest.raises(ValueError, match=r"it asks for posix\.system"):
        read_fold(path, 2, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04Nr\xff\xff\xff\xff.", "it asks for memo 4294967295"),
        (b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"abc.", "cannot be read"),  # bytearray
        (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"abc.", "cannot be read"),  # bytes
        (b"\x80\x04\x8c\x06a\x1b[2Jc\x8c\x01b\x93.", r"it asks for a\\x1b\[2Jc\.b"),  # clears a terminal
        (b"no pickle", "cannot be read"),
    ],
)
def test_a_file_cannot_ask_for_all_memory_or_write_to_the_terminal(tmp_path, content, message):
    (tmp_path / "0.pkl").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=message) as error:
        read_fold(tmp_path / "0.pkl", 2, 3)
    assert str(error.value).isprintable()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_damaged_file_is_refused_wherever_it_is_cut(tmp_path):
    whole = pickle.dumps(made_fold(points=4), protocol=4)
    path = tmp_path / "0.pkl"
    for end in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"0\.pkl that cannot be read as plain arrays"):
            read_fold(path, 2, 3)


def test_random_damage_gives_a_fold_or_one_line(tmp_path):
    generator = np.random.default_rng(0)
    whole = np.frombuffer(pickle.dumps(made_fold(points=4), protocol=4), np.uint8)
    path, refused = tmp_path / "0.pkl", 0
    for _ in range(300):
        damaged = whole.copy()
        damaged[generator.integers(len(whole), size=3)] = generator.integers(256, size=3)
        path.write_bytes(damaged.tobytes())
        try:
            read_fold(path, 2, 3, points=4)
        except ValueError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 100


def changed(part, number, entry):
    made = made_fold()
    made[part][number] = entry
    return made


CLOUD = np.ones((40, 6), np.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "found a list of 2 in .*expected a dict of 'train' and 'test'"),
        ({"train": made_fold()["train"]}, "found a dict of 1"),
        (made_fold() | {"test": []}, "test: found a list of 0, expected a list of clouds"),
        (made_fold() | {"train": {"a": 1}}, "train: found a dict of 1"),
        (changed("train", 1, (CLOUD, 0)), "train: found a tuple of 2 at 1"),
        (changed("test", 2, ([[0.0, 1.0, 2.0]], 0, 0)), "test: found a tuple of 3 at 2"),
        (changed("test", 0, (CLOUD[0], 0, 0)), r"found float32 points of shape \(6,\) at 0"),
        (changed("test", 0, (CLOUD[:, :2], 0, 0)), r"found float32 points of shape \(40, 2\)"),
        (changed("test", 0, (CLOUD.astype(int), 0, 0)), "found int64 points"),
        (changed("test", 3, (CLOUD[:9], 0, 0)), r"points of shape \(9, 6\) at 3, .*at least 16: ask for fewer"),
        (changed("test", 0, (CLOUD * np.nan, 0, 0)), "NaN or infinite coordinates at 0"),
        (changed("test", 0, (CLOUD, "chair", 0)), "found a str as label at 0"),
        (changed("test", 0, (CLOUD, -1, 0)), "found -1 as label at 0"),
        (changed("test", 0, (CLOUD, 10**5000, 0)), "found a int as label at 0"),
        (changed("test", 0, (CLOUD, True, 0)), "found True as label at 0"),
        (changed("test", 0, (CLOUD, 2, 0)), r"found 3 classes up to 2 to test in .*0\.pkl, expected all of 0…1"),
        (
            changed("train", 0, (CLOUD, 5, 0)),
            r"6 training clouds of 3 classes \(1 to 3 of each\).*expected 3 of each of 0…1",
        ),
        (made_fold(ways=3), "expected 3 of each of 0…1"),
        (made_fold(shots=4), r"found 8 training clouds of 2 classes \(4 to 4"),
    ],
)
def test_other_contents_are_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read_fold(write(tmp_path / "0.pkl", content), 2, 3, points=16)
    assert "\n" not in str(error.value)


def test_clouds_of_different_sizes_are_cut_or_refused(tmp_path):
    path = write(tmp_path / "0.pkl", changed("test", 0, (CLOUD[:30], 0, 0)))
    assert read_fold(path, 2, 3, points=30).test_points.shape == (10, 30, 3)
    with pytest.raises(ValueError, match="test: found clouds of 30 to 40 points"):
        read_fold(path, 2, 3, points=None)


def test_bad_numbers_and_features_are_refused(archive):
    cases = [
        ({"C": 0.0}, "found C 0.0"),
        ({"folds": 0}, "found 0 folds"),
        ({"settings": []}, r"found settings \[\]"),
        ({"settings": [(2, 3), (2, 3)]}, "each once"),
        ({"points": 0}, "found 0 points"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            folds_svm(archive, extents, **{"settings": SETTINGS, "folds": 1} | options)
    with pytest.raises(ValueError, match="support set: found features of shape"):
        folds_svm(archive, lambda points: points, settings=SETTINGS, folds=1, points=16)


def test_the_path_in_a_message_is_that_of_the_file(tmp_path):
    path = write(tmp_path / "5way_10shot/3.pkl", [1])
    with pytest.raises(ValueError, match=str(Path("5way_10shot/3.pkl"))):
        read_fold(path, 5, 10)


def test_the_settings_that_lie_there(archive, tmp_path):
    (tmp_path / "10way20shot").mkdir()  # as the description of the archive has it
    (tmp_path / "5way_shot").mkdir()
    (tmp_path / "7way_1shot").write_text("no folder")
    assert stored_settings(tmp_path) == [(2, 3), (3, 4), (10, 20)]
    for nothing in (tmp_path / "10way20shot", tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="found no folder like 5way_10shot"):
            stored_settings(nothing)


def test_pickles_that_would_take_for_ever_are_refused(tmp_path: Path) -> None:
    """A key of a dict whose hash takes 2^60 steps, and lists that stand for as many entries."""
    shared: list[object] = []
    for _ in range(60):
        shared = [shared, shared]
    for content in (hash_bomb(), pickle.dumps({"train": shared, "test": []})):
        (tmp_path / "0.pkl").write_bytes(content)
        refused(lambda: read_fold(tmp_path / "0.pkl", 2, 1), "0.pkl")
