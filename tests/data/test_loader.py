import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import chainrule as cr
from chainrule import random
from chainrule.data import (
    Compose,
    Dataset,
    RandomAffine,
    Scale,
    Subset,
    TensorDataset,
    augmentation,
)
from chainrule.data.loader import DataLoader
from chainrule.data.workers import skip
from chainrule.errors import CheckpointError, DataError, ShapeError, UsageError

VARY = Compose((Scale(16), RandomAffine(degrees=20, shift=2)))


def labels_of(loader):
    return [labels.tolist() for _, labels in loader]


def bits_of(batches):
    return [[column.numpy().tobytes() for column in batch] for batch in batches]


@pytest.fixture
def ten():
    random.manual_seed(3)
    return TensorDataset(np.arange(10.0), np.arange(10))


@pytest.fixture
def images():
    random.manual_seed(4)
    pixels = np.random.default_rng(0).integers(0, 17, (23, 1, 8, 8)).astype(np.uint8)
    return TensorDataset(pixels, np.arange(23))


class Noisy(Dataset):
    """Varies its samples itself, one by one."""

    random = True

    def __init__(self, n=11):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return np.float32(i + augmentation().uniform(0, 0.5)), i


class Broken(Dataset):
    def __init__(self, how="raise"):
        self.how = how

    def __len__(self):
        return 8

    def __getitem__(self, i):
        if i == 5 and self.how == "raise":
            raise KeyError("no such row")
        if i == 5 and self.how == "exit":
            os._exit(7)
        if i == 5 and self.how == "shape":
            return np.zeros(3)
        if self.how == "skip" and (i % 5 == 0 or i > 5):
            assert skip(f"file{i}.png", "cut short")
        return np.zeros(2)

    def __getitems__(self, indices):
        if self.how != "skip":
            return [self[i] for i in indices]
        kept = []
        for i in indices:
            if i in (0, 6, 7):
                assert skip(f"file{i}.png", "cut short")
            else:
                kept.append((np.float32(i), i))
        return kept


# ------------------------------------------------------------ batches


def test_batches_in_order_with_a_short_last_one(ten):
    loader = DataLoader(ten, 4)
    assert labels_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3
    dropping = DataLoader(ten, 4, drop_last=True)
    assert len(dropping) == len(labels_of(dropping)) == 2


def test_each_epoch_has_its_own_order_and_takes_one_draw(ten):
    loader = DataLoader(ten, 10, shuffle=True)
    (first,), (second,) = labels_of(loader), labels_of(loader)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    draws = random.get_state()["draws"]
    assert draws == {"default": 0, "init": 0, "shuffle": 2, "augmentation": 0, "dropout": 0}
    random.manual_seed(3)
    assert labels_of(loader) == [first]


def test_the_order_does_not_depend_on_the_transforms():
    images = TensorDataset(np.ones((10, 1, 8, 8)), np.arange(10))
    random.manual_seed(5)
    plain = labels_of(DataLoader(images, 4, shuffle=True))
    random.manual_seed(5)
    assert labels_of(DataLoader(images, 4, shuffle=True, transform=RandomAffine(9))) == plain


def test_reading_validation_data_moves_no_stream():
    random.manual_seed(5)
    before = random.get_state()
    images = TensorDataset(np.full((10, 1, 8, 8), 16, np.uint8), np.arange(10))
    for batch, _ in DataLoader(images, 4, transform=VARY.deterministic()):
        assert batch.shape[1:] == (1, 8, 8)
        assert float(batch.max()) == 1
    assert random.get_state() == before


def test_a_generator_of_ones_own_leaves_the_streams_alone(ten):
    before = random.get_state()
    orders = [
        labels_of(DataLoader(ten, 4, shuffle=True, generator=random.Generator(8))) for _ in range(2)
    ]
    assert orders[0] == orders[1] != labels_of(DataLoader(ten, 4))
    assert random.get_state() == before


def test_any_dataset_with_length_and_items():
    class Squares:
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return np.full(2, i, np.float32), i * i

    (batch,) = DataLoader(Squares(), 3)
    assert batch[0].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert batch[1].tolist() == [0, 1, 4]


def test_an_array_backed_batch_is_one_step():
    class Counting(TensorDataset):
        steps = 0

        def __getitem__(self, index):
            raise AssertionError("one by one")

        def __getitems__(self, indices):
            self.steps += 1
            return super().__getitems__(indices)

    dataset = Counting(np.arange(10))
    assert [x.tolist() for (x,) in DataLoader(Subset(dataset, range(9, 1, -1)), 5)] == [
        [9, 8, 7, 6, 5],
        [4, 3, 2],
    ]
    assert dataset.steps == 2


def test_arrays_keep_their_dtype():
    for dtype in (np.float64, np.float32, np.int64, np.uint8, np.bool_):
        (batch,) = DataLoader(TensorDataset(np.ones(3, dtype)), 3)
        assert batch[0].dtype.name == np.dtype(dtype).name
    (batch,) = DataLoader([(1.5, 2), (2.5, 3)], 2)
    assert [column.dtype.name for column in batch] == ["float64", "int64"]  # as PyTorch's


def test_an_array_or_a_tensor_gives_its_rows():
    for rows in (np.eye(3), cr.tensor(np.eye(3))):
        first, second = DataLoader(rows, 2)
        assert first.tolist() == [[1, 0, 0], [0, 1, 0]] and second.tolist() == [[0, 0, 1]]


def test_samples_of_any_nesting():
    samples = [
        {"x": np.ones(2), "name": "a", "pair": (1, [2.0])},
        {"x": np.zeros(2), "name": "b", "pair": (3, [4.0])},
    ]
    (batch,) = DataLoader(samples, 2)
    assert batch["x"].tolist() == [[1, 1], [0, 0]] and batch["name"] == ["a", "b"]
    assert batch["pair"][0].tolist() == [1, 3] and batch["pair"][1][0].tolist() == [2, 4]


def test_samplers_and_a_collate_function(ten):
    assert labels_of(DataLoader(ten, 2, sampler=[9, 1, 1])) == [[9, 1], [1]]
    assert labels_of(DataLoader(ten, batch_sampler=[[3], [4, 5]])) == [[3], [4, 5]]
    (total,) = DataLoader(ten, 10, collate_fn=lambda samples: sum(label for _, label in samples))
    assert total == 45


def test_a_batch_larger_than_the_dataset_is_one_smaller_batch(ten):
    assert labels_of(DataLoader(ten, 64)) == [list(range(10))]


# ------------------------------------------------------------ workers


@pytest.mark.parametrize("dataset", ["arrays", "samples"])
def test_the_bits_do_not_depend_on_the_workers(images, dataset):
    results = []
    workers = [(0, "threads"), (1, "threads"), (2, "threads"), (4, "threads")]
    for count, kind in [*workers, (1, "processes"), (2, "processes"), (4, "processes")]:
        random.manual_seed(4)
        chosen, transform = (images, VARY) if dataset == "arrays" else (Noisy(), None)
        loader = DataLoader(
            chosen, 3, shuffle=True, num_workers=count, worker_kind=kind, transform=transform
        )
        epochs = [bits_of(loader), bits_of(loader)]
        assert epochs[0] != epochs[1]
        results.append((epochs, random.get_state()))
    assert all(result == results[0] for result in results)


def test_each_image_of_each_batch_varies_by_itself():
    same = TensorDataset(np.arange(64.0).reshape(1, 1, 8, 8).repeat(6, axis=0))
    loader = DataLoader(same, 2, transform=VARY)
    assert len({image.numpy().tobytes() for (batch,) in loader for image in batch}) == 6


def test_reading_ahead_moves_no_stream(images):
    states = []
    for count in (0, 3):
        random.manual_seed(4)
        loader = DataLoader(images, 2, shuffle=True, num_workers=count, transform=VARY)
        states.append([random.get_state() for _ in loader])
    assert states[0] == states[1]


def test_a_dataset_must_say_that_it_is_random():
    class Forgot(Noisy):
        random = False

    with pytest.raises(UsageError, match=r"random = True.* It is sample 0 of Forgot\."):
        next(iter(DataLoader(Forgot(), 2)))


@pytest.mark.parametrize(
    ("count", "kind", "worker"),
    [(0, "threads", ""), (2, "threads", " in worker 2 of 2 (thread)"),
     (2, "processes", " in worker 2 of 2 (process)")],
)  # fmt: skip
def test_an_error_names_the_sample_and_the_worker(count, kind, worker):
    loader = DataLoader(Broken(), 4, num_workers=count, worker_kind=kind)
    with pytest.raises(DataError) as caught:
        list(loader)
    expected = f"[DataLoader] got KeyError from sample 5 of Broken{worker}. 'no such row'."
    assert str(caught.value) == expected
    with pytest.raises(DataError):  # and the loader can be used again
        list(loader)


def test_samples_that_do_not_fit_together():
    with pytest.raises(ShapeError, match=r"shapes \[2\] and \[3\].*Resize.* a batch of 8 samples"):
        list(DataLoader(Broken("shape"), 8))


def test_a_worker_that_dies_is_an_error_and_no_hang():
    with pytest.raises(DataError, match=r"worker 2 of 2 \(process\), which ended.* code is 7"):
        list(DataLoader(Broken("exit"), 4, num_workers=2, worker_kind="processes"))


def test_what_pickle_cannot_copy():
    class Local(Broken):
        pass

    with pytest.raises(UsageError, match=r"Local, which can't be sent.*worker_kind=\"threads"):
        list(DataLoader(Local(), 4, num_workers=1, worker_kind="processes"))
    loader = DataLoader(Noisy(), 2, num_workers=1, worker_kind="processes", collate_fn=unpicklable)
    with pytest.raises(DataError, match="a batch of 2 samples"):
        list(loader)


def unpicklable(samples):
    return lambda: samples


def test_left_out_samples_are_reported_at_the_end_of_the_epoch():
    for count, kind in ((0, "threads"), (2, "threads"), (2, "processes")):
        loader = DataLoader(Broken("skip"), 3, num_workers=count, worker_kind=kind)
        with pytest.warns(UserWarning, match=r"3 damaged samples.*file0.png \(cut short\)") as said:
            assert labels_of(loader) == [[1, 2], [3, 4, 5]]  # the third batch had none left
        assert list(loader.skipped) == ["file0.png", "file6.png", "file7.png"]
        assert said[0].filename == __file__


CTRL_C = """
import multiprocessing, sys, time
import numpy as np
from chainrule.data import DataLoader, Dataset

class Slow(Dataset):
    def __len__(self):
        return 1000
    def __getitem__(self, i):
        time.sleep(0.01)
        return np.float32(i)

if __name__ == "__main__":
    loader = DataLoader(Slow(), 2, num_workers=2, worker_kind=sys.argv[1])
    for number, batch in enumerate(loader):
        if not number:
            print(*[p.pid for p in multiprocessing.active_children()], flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("kind", ["threads", "processes"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_workers_end_with_the_program(tmp_path, kind, end):
    script = tmp_path / "script.py"
    script.write_text(CTRL_C)
    program = subprocess.Popen(
        [sys.executable, script, kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = [int(word) for word in program.stdout.readline().split()]
    assert len(workers) == (2 if kind == "processes" else 0)
    if end == signal.SIGINT:  # a terminal's Ctrl-C reaches the workers as well
        os.killpg(program.pid, end)
    else:
        program.send_signal(end)
    _, errors = program.communicate(timeout=60)
    assert errors.count("Traceback") == (1 if end == signal.SIGINT else 0)
    deadline = time.monotonic() + 10
    while any(is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_script_without_a_main_part_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(CTRL_C.replace('if __name__ == "__main__":', "if True:"))
    done = subprocess.run([sys.executable, script, "processes"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") <= 1
    last = done.stderr.strip().splitlines()[-1]
    assert "worker 1 of 2 (process), which ended by itself" in last
    assert 'if __name__ == "__main__":' in last


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


# ------------------------------------------------------------ going on


@pytest.mark.parametrize("stop", range(9))
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_in_the_middle_of_an_epoch(images, stop, workers):
    def loader():
        return DataLoader(images, 3, shuffle=True, transform=VARY, num_workers=workers)

    random.manual_seed(9)
    whole, later = loader(), []
    for _ in range(3):
        later += bits_of(whole)
    uninterrupted = random.get_state()

    random.manual_seed(9)
    first = loader()
    seen = bits_of(first)
    running = iter(first)
    for _ in range(stop):
        seen += bits_of([next(running)])
    state = json.loads(json.dumps([first.state_dict(), random.get_state()]))
    assert state[0]["epoch"] == 1 and state[0]["batch"] == stop

    random.manual_seed(77)
    second = loader()
    second.load_state_dict(state[0])
    random.set_state(state[1])
    for _ in range(2):
        seen += bits_of(second)
    assert seen == later
    assert random.get_state() == uninterrupted
    assert second.state_dict()["epoch"] == 3


def test_a_samplers_order_is_kept_in_the_state(ten):
    loader = DataLoader(ten, 2, sampler=[5, 4, 3, 2])
    batches = iter(loader)
    next(batches)
    state = json.loads(json.dumps(loader.state_dict()))
    again = DataLoader(ten, 2, sampler=[0, 0, 0, 0])
    again.load_state_dict(state)
    assert labels_of(again) == [[3, 2]]
    assert labels_of(again) == [[0, 0], [0, 0]]


def test_an_epoch_that_was_left_early_does_not_come_back(ten):
    loader = DataLoader(ten, 4)
    next(iter(loader))
    assert labels_of(loader)[0] == [0, 1, 2, 3]
    assert loader.state_dict()["epoch"] == 2


def test_a_state_of_other_data_is_refused(ten):
    state = DataLoader(ten, 4).state_dict()
    with pytest.raises(CheckpointError, match=r"samples: 10, batch_size: 4.*batch_size: 5"):
        DataLoader(ten, 5).load_state_dict(state)
    with pytest.raises(CheckpointError, match="without 'samples'"):
        DataLoader(ten, 5).load_state_dict({})


# ------------------------------------------------------------ wrong use


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size = 0, needs a whole number, at least 1"),
        ({"batch_size": 2.5}, r"batch_size = 2\.5, needs a whole number"),
        ({"num_workers": "2"}, "num_workers = '2', needs a whole number"),
        ({"generator": 5}, "generator = 5, needs cr.Generator"),
        ({"num_workers": -1}, "num_workers = -1"),
        ({"worker_kind": "fibres"}, "'threads' or 'processes'"),
        ({"sampler": [1], "shuffle": True}, "needs one of them"),
        ({"batch_sampler": [[1]], "batch_size": 3}, "needs it alone"),
        ({"batch_size": 11, "drop_last": True}, "needs at least one whole batch"),
        ({"transform": np.negative}, "needs a Transform"),
    ],
)
def test_wrong_options(ten, options, words):
    with pytest.raises(UsageError, match=words):
        DataLoader(ten, **options)


def test_what_is_no_dataset():
    with pytest.raises(UsageError, match=r"a tuple of 2 arrays.*TensorDataset\(X, y\)"):
        DataLoader((np.eye(3), np.arange(3)))
    with pytest.raises(UsageError, match="a generator, needs a dataset"):
        DataLoader(x for x in range(3))
    with pytest.raises(UsageError, match="TensorDataset of 0 samples"):
        DataLoader(TensorDataset(np.ones((0, 2))))
    with pytest.raises(ShapeError, match="a single number"):
        DataLoader(np.array(3.0))


def test_a_sampler_without_a_length():
    loader = DataLoader(TensorDataset(np.arange(4)), sampler=iter([1, 0]))
    with pytest.raises(UsageError, match="got a list_iterator without a length, needs __len__"):
        len(loader)
