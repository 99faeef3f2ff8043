"""Several frames in work at once, over lanes that write down what happens to them."""

import threading

import pytest

from mde_runtime.pipeline import overlapped
from mde_runtime.prefetch import reading_ahead


class Lane:
    """Doubles a number, and notes when it took it and when it was asked for it."""

    def __init__(self, diary):
        self.diary, self.number = diary, None

    def start(self, feeds):
        assert self.number is None, "it is at work"
        self.number = feeds["x"]
        self.diary.append(f"start {self.number}")

    def finish(self):
        number, self.number = self.number, None
        self.diary.append(f"finish {number}")
        return {"y": number * 2}

    def drop(self):
        self.diary.append(f"drop {self.number}")
        self.number = None


@pytest.fixture
def diary():
    return []


@pytest.fixture
def lanes(diary):
    return [Lane(diary), Lane(diary)]


def feeds_of(number):
    if number < 0:
        raise ValueError("no such frame")
    return {"x": number}


class Ready:
    """Numbers that are all there already."""

    def __init__(self, numbers):
        self.numbers = list(numbers)

    @property
    def is_ready(self):
        return bool(self.numbers)

    def __next__(self):
        if not self.numbers:
            raise StopIteration
        return self.numbers.pop(0)


def test_answers_come_in_order(lanes):
    assert [answer["y"] for answer in overlapped(lanes, Ready(range(5)), feeds_of)] == [0, 2, 4, 6, 8]


def test_the_next_frame_is_on_its_way_while_the_one_before_computes(lanes, diary):
    answers = overlapped(lanes, Ready(range(3)), feeds_of)
    next(answers)
    assert diary == ["start 0", "start 1", "finish 0"]


def test_a_frames_answer_never_waits_for_the_next_frame(lanes):
    may_go_on = threading.Event()

    def camera():
        yield 1
        may_go_on.wait(timeout=10)
        yield 2

    with reading_ahead(camera(), 2) as numbers:
        answers = overlapped(lanes, numbers, feeds_of)
        assert next(answers) == {"y": 2}
        may_go_on.set()
        assert next(answers) == {"y": 4}


def test_a_wrong_frame_is_raised_after_the_answers_before_it(lanes):
    answers = overlapped(lanes, Ready([1, 2, -1]), feeds_of)
    assert [next(answers)["y"], next(answers)["y"]] == [2, 4]
    with pytest.raises(ValueError, match="no such frame"):
        next(answers)


def test_whoever_leaves_early_leaves_the_lanes_idle(lanes):
    answers = overlapped(lanes, Ready(range(5)), feeds_of)
    next(answers)
    answers.close()
    assert [lane.number for lane in lanes] == [None, None]


def test_a_lane_that_fails_to_end_leaves_no_other_at_work(lanes):
    answers = overlapped(lanes, Ready(range(5)), feeds_of)
    next(answers)
    for lane in lanes:
        lane.drop = lambda lane=lane: fail_of(lane)
    with pytest.raises(ConnectionError, match="the device is gone"):
        answers.close()
    assert [lane.number for lane in lanes] == [None, None]


def fail_of(lane):
    lane.number = None
    raise ConnectionError("the device is gone")


def test_one_lane_works_frame_by_frame(diary):
    list(overlapped([Lane(diary)], Ready([1, 2]), feeds_of))
    assert diary == ["start 1", "finish 1", "start 2", "finish 2"]
