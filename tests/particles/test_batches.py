import threading
import time

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.particles.batches import images_per_chunk, read_ahead, read_living
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.stack import ArrayStack

THREAD = "gemmap-read-ahead"


def numbered(n: int) -> np.ndarray:
    """Images that tell which they are, and are not constant."""
    return np.arange(n, dtype=np.float32)[:, None, None] + np.eye(4, dtype=np.float32)


class SlowStack(ArrayStack):
    """Remembers what was read, and waits or fails on request."""

    def __init__(self, images: np.ndarray, fails_at: int | None = None, seconds: float = 0.0) -> None:
        super().__init__(images)
        self.reads: list[list[int]] = []
        self.fails_at = fails_at
        self.seconds = seconds

    def read(self, rows: np.ndarray) -> np.ndarray:
        self.reads.append(rows.tolist())
        time.sleep(self.seconds)
        if self.fails_at in rows:
            raise OSError("disk is gone")
        return super().read(rows)


def reader_threads() -> int:
    return sum(thread.name == THREAD for thread in threading.enumerate())


@pytest.mark.parametrize("n", [0, 1, 7, 12])
@pytest.mark.parametrize("chunk", [1, 3, 4, 100])
def test_every_row_once_and_in_order(n: int, chunk: int) -> None:
    rows = np.random.default_rng(0).permutation(20)[:n]
    got = list(read_ahead(ArrayStack(numbered(20)), rows, chunk))
    assert [len(r) for r, _ in got] == [chunk] * (n // chunk) + ([n % chunk] if n % chunk else [])
    assert [int(row) for r, _ in got for row in r] == rows.tolist()
    for r, images in got:
        np.testing.assert_array_equal(images, numbered(20)[r])
    assert reader_threads() == 0


def test_reads_while_the_caller_computes_but_not_without_bound() -> None:
    stack = SlowStack(numbered(20))
    chunks = read_ahead(stack, np.arange(20), 2)
    next(chunks)
    deadline = time.monotonic() + 5
    while len(stack.reads) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(stack.reads) == 4  # one in use, two waiting, one in hand
    chunks.close()


def test_time_is_that_of_the_slower_side() -> None:
    """Ten reads of 20 ms beside ten computations of 20 ms: about 0.22 s, not 0.4."""
    start = time.monotonic()
    for _ in read_ahead(SlowStack(numbered(10), seconds=0.02), np.arange(10), 1):
        time.sleep(0.02)
    assert time.monotonic() - start < 0.35


def test_error_of_the_stack_reaches_the_caller_after_the_good_chunks() -> None:
    seen = []
    with pytest.raises(OSError, match="disk is gone"):  # noqa: PT012 - the chunks before the error count
        for rows, _ in read_ahead(SlowStack(numbered(10), fails_at=5), np.arange(10), 2):
            seen.append(rows.tolist())
    assert seen == [[0, 1], [2, 3]]
    assert reader_threads() == 0


@pytest.mark.parametrize("n_taken", [0, 1, 3])
def test_leaving_early_stops_the_thread(n_taken: int) -> None:
    stack = SlowStack(numbered(1000))
    chunks = read_ahead(stack, np.arange(1000), 1)
    for _ in range(n_taken):
        next(chunks)
    chunks.close()
    assert reader_threads() == 0
    assert len(stack.reads) < 10


def test_error_of_the_caller_stops_the_thread() -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is what is tested
        for rows, _ in read_ahead(ArrayStack(numbered(1000)), np.arange(1000), 1):
            _ = 1 / int(rows[0])
    assert reader_threads() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_numbers(value: float) -> None:
    images = numbered(10)
    images[[4, 5, 9], 1, 2] = value
    rows = np.array([0, 1, 2, 3, 5, 4])
    with pytest.raises(InputError, match=r"2 of 3 images read together are dead .*all equal; particles 6, 5\)"):
        list(read_ahead(ArrayStack(images), rows, 3))


def test_infinities_that_cancel_are_seen() -> None:
    images = numbered(2)
    images[1, 0, :2] = np.inf, -np.inf
    with pytest.raises(InputError, match="particle 2"):
        list(read_ahead(ArrayStack(images), np.arange(2), 2))


def test_a_sum_that_overflows_is_not_an_infinite_pixel() -> None:
    images = np.full((2, 4, 4), 3e38, np.float32)
    images[:, 0] = 2e38
    assert len(list(read_ahead(ArrayStack(images), np.arange(2), 2))) == 1


def test_dead_images_are_left_out_of_their_chunk_and_counted() -> None:
    images = np.concatenate([numbered(400)] * 2)
    images[[1, 4, 5]] = 0.0
    images[700, 2, 1] = np.nan
    dead = DeadImages(800)
    chunks = read_ahead(ArrayStack(images), np.r_[0:6, 700:703], 2, dead)
    assert [rows.tolist() for rows, _ in chunks] == [[0], [2, 3], [], [701], [702]]
    assert dead.rows.tolist() == [1, 4, 5, 700]
    rows, some = read_living(ArrayStack(images), np.array([5, 3]), dead)
    assert rows.tolist() == [3]
    np.testing.assert_array_equal(some, images[[3]])
    assert len(dead) == 4


def test_what_is_read_ahead_is_not_counted_before_it_is_taken() -> None:
    """An interrupted pass keeps the count that belongs to its sums."""
    images = numbered(1000)
    images[[3, 5]] = 7.0
    dead = DeadImages(1000)
    chunks = read_ahead(ArrayStack(images), np.arange(1000), 1, dead)
    for _ in range(5):
        next(chunks)
    assert dead.rows.tolist() == [3]
    chunks.close()


def test_chunk_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="Chunks of 0 images"):
        next(read_ahead(ArrayStack(numbered(2)), np.arange(2), 0))


@pytest.mark.parametrize(("box_px", "chunk_bytes", "n"), [(256, 2**26, 256), (16, 1023, 1), (4096, 2**20, 1)])
def test_images_per_chunk(box_px: int, chunk_bytes: int, n: int) -> None:
    assert images_per_chunk(box_px, chunk_bytes) == n
