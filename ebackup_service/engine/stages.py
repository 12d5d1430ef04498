# SPDX-License-Identifier: Apache-2.0
"""The stages of a backup, each of which ends with a checkpoint.

Workers don't wait for each other where a stage ends. Whoever has done with it
goes on to the next one, and only what it finds there is not entered into the
tree before the tree of the stage before was taken.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import threading
from typing import TypeAlias

from ebackup_service.engine import control as job_control
from ebackup_service.engine import crew
from ebackup_service.engine import plan

# Who waits looks this often (seconds) whether it has to stop.
_LOOK = 0.2


class Stage:
    """What is to be read between two checkpoints; one of a Handout.

    :ivar number: 0 is the first one's
    :ivar end: the first leaf that is not done when the stage is; 0: it has
        tasks that were not given out yet
    :ivar total: counter name -> sum of what the workers have done
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.end = 0
        self.total: collections.Counter[str] = collections.Counter()
        self.given = 0
        self.done = 0

    @property
    def over(self) -> bool:
        return self.end > 0 and self.done == self.given


Given: TypeAlias = tuple[Stage, plan.LeafTask | plan.SkipTask]


class Handout:
    """Gives the tasks of all stages out, until the job is to wind down.

    For any number of workers, and one thread that follows them. ``_changed``
    protects the stages, and everything here.

    :ivar tasks: for the workers: each task, and the stage that it is of
    :ivar wound_down: whether there are tasks that nobody gets
    """

    def __init__(
        self,
        stages: Iterable[plan.Stage],
        control: job_control.Control,
    ) -> None:
        self.tasks = crew.Shared(self._each(stages))
        self.wound_down = False
        self._control = control
        self._changed = threading.Condition()
        self._stages: collections.deque[Stage] = collections.deque()
        self._over = False
        # Stages of which the tree was taken.
        self._taken = 0

    def leave(
        self, stage: Stage, tasks: int, counted: Mapping[str, int]
    ) -> None:
        """For a worker: what it had of a stage is done, and durable.

        :param tasks: how many of the stage it has done: all that it got
        :param counted: what they have added to its counters
        """
        with self._changed:
            stage.done += tasks
            stage.total.update(counted)
            self._changed.notify_all()

    def is_turn(self, stage: Stage) -> bool:
        """Whether leaves of a stage may be entered into the tree."""
        return self._taken >= stage.number

    def wait_for_turn(self, stage: Stage, check: Callable[[], None]) -> None:
        """For a worker that has left the stage before: until is_turn().

        :param check: called while waiting; raises to give up
        """
        self._wait(lambda: self.is_turn(stage), check)

    def taken(self, stage: Stage) -> None:
        """The tree was taken as it is behind a stage: the next may go on."""
        with self._changed:
            self._taken = stage.number + 1
            self._changed.notify_all()

    def follow(self, check: Callable[[], None]) -> Iterator[Stage]:
        """Each stage when it is over: all workers have left it.

        :param check: called while waiting; raises to give up
        """
        while True:
            self._wait(
                lambda: self._stages[0].over if self._stages else self._over,
                check,
            )
            if not self._stages:
                return
            yield self._stages.popleft()

    def _wait(
        self, holds: Callable[[], bool], check: Callable[[], None]
    ) -> None:
        with self._changed:
            while not holds():
                self._changed.wait(_LOOK)
                check()

    def _each(self, stages: Iterable[plan.Stage]) -> Iterator[Given]:
        yield from self._until_wound_down(stages)
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _until_wound_down(
        self, stages: Iterable[plan.Stage]
    ) -> Iterator[Given]:
        for number, planned in enumerate(stages):
            stage = Stage(number)
            for task in planned.tasks:
                if self._control.winding_down:
                    self.wound_down = True
                    self._end(stage, plan.begin(task))
                    return
                self._give(stage)
                yield stage, task
            self._end(stage, planned.end)

    def _give(self, stage: Stage) -> None:
        with self._changed:
            if not stage.given:
                self._stages.append(stage)
            stage.given += 1

    def _end(self, stage: Stage, leaf: int) -> None:
        with self._changed:
            stage.end = leaf
            self._changed.notify_all()
