# SPDX-License-Identifier: Apache-2.0
"""The stages of a backup, each of which ends with a checkpoint.

Workers don't wait for each other where a stage ends. Whoever has done with it
goes on to the next one, but what it finds there is not entered into the tree
before the checkpoint between the two was made.
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
    """What is read between two checkpoints; one of a Handout.

    :ivar number: 0 is the first one's
    :ivar given: how many of its tasks were given to workers
    :ivar done: how many of these are done, and durable
    :ivar end: the first leaf behind it; 0: it may have more tasks yet
    :ivar total: counter name -> sum of what the workers have done
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.given = 0
        self.done = 0
        self.end = 0
        self.total: collections.Counter[str] = collections.Counter()

    @property
    def over(self) -> bool:
        return self.end > 0 and self.done == self.given


Given: TypeAlias = tuple[Stage, plan.LeafTask | plan.SkipTask]


class Handout:
    """Gives the tasks of a backup out, stage by stage.

    It ends when the job is to wind down. For any number of workers, and one
    thread that follows them. What both change, they change with ``_changed``
    held, which is notified when a stage is over, and when the turn of the
    next one comes. Single numbers are looked at without.

    :ivar tasks: for the workers: each task, and the stage that it is of
    :ivar reached: the first leaf behind the tasks that were given out
    """

    def __init__(
        self,
        work: Iterable[plan.LeafTask | plan.SkipTask],
        most: int,
        leaf_chunks: int,
        control: job_control.Control,
        begin: int = 0,
    ) -> None:
        """Hand work out that begins with a certain leaf.

        :param most: chunks that are read in a stage, if it is not but a leaf
        :param leaf_chunks: chunks of a leaf
        """
        self.tasks = crew.Shared(self._each(work, most, leaf_chunks))
        self.reached = begin
        self._control = control
        self._changed = threading.Condition()
        self._stages: collections.deque[Stage] = collections.deque()
        self._over = False
        # Stages behind which there is a checkpoint.
        self._noted = 0

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
        return self._noted >= stage.number

    def wait_for_turn(self, stage: Stage, check: Callable[[], None]) -> None:
        """For a worker that has left the stage before: until is_turn().

        :param check: called while waiting; raises to give up
        """
        self._wait(lambda: self.is_turn(stage), check)

    def noted(self, stage: Stage) -> None:
        """There is a checkpoint behind a stage: it is the next one's turn."""
        with self._changed:
            self._noted = stage.number + 1
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

    def _each(
        self,
        work: Iterable[plan.LeafTask | plan.SkipTask],
        most: int,
        leaf_chunks: int,
    ) -> Iterator[Given]:
        stage, read = Stage(0), 0
        for task in work:
            if self._control.winding_down:
                break
            weight = plan.weight(task, leaf_chunks)
            if stage.given and read + weight > most:
                self._end(stage)
                stage, read = Stage(stage.number + 1), 0
            read += weight
            self.reached = plan.end(task)
            self._give(stage)
            if read >= most:
                # Before it is known what comes next, which may take long: who
                # has done its task by then leaves the stage first.
                self._end(stage)
            yield stage, task
        self._end(stage)
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _give(self, stage: Stage) -> None:
        with self._changed:
            if not stage.given:
                self._stages.append(stage)
            stage.given += 1

    def _end(self, stage: Stage) -> None:
        with self._changed:
            stage.end = self.reached
            self._changed.notify_all()
