# SPDX-License-Identifier: Apache-2.0
import io

from ebackup_driver.osc import progress
from ebackup_driver import resources
from tests.unit.ebackup_driver.osc import base


class Terminal(io.StringIO):
    def isatty(self):
        return True


def job(state='running', **figures):
    return resources.Job(id='j', state=state, kind='backup', progress=figures)


class TestDescribe(base.CommandTestCase):
    def test_tells_how_far_how_fast_how_long(self):
        self.assertEqual(
            'backup running, 25 %, 1.0 GiB of 4.0 GiB, 100.0 MiB/s, 30 s left',
            progress.describe(
                job(
                    percent=25,
                    bytes_done=1 << 30,
                    bytes_total=4 << 30,
                    rate=100 << 20,
                    remaining=30,
                )
            ),
        )

    def test_leaves_out_what_is_not_known(self):
        self.assertEqual('backup pending', progress.describe(job('pending')))

    def test_of_an_ended_job_has_no_outlook(self):
        self.assertEqual(
            'backup succeeded, 100 %',
            progress.describe(
                job('succeeded', percent=100, rate=1, remaining=0)
            ),
        )


class TestLine(base.CommandTestCase):
    def show(self, stream, *percents):
        line = progress._Line(stream)
        for percent in percents:
            line.show(job(percent=percent))
        line.end()
        return stream.getvalue()

    def test_a_log_gets_a_line_now_and_then(self):
        shown = self.show(io.StringIO(), *range(0, 101, 2))
        self.assertEqual(11, len(shown.splitlines()))

    def test_a_terminal_has_one_that_changes(self):
        shown = self.show(Terminal(), 9, 10, 100)
        self.assertEqual(3, shown.count('\r'))
        self.assertTrue(shown.endswith('100 %\n'))

    def test_a_shorter_text_covers_a_longer_one(self):
        stream = Terminal()
        line = progress._Line(stream)
        line.show(job(percent=50, rate=1 << 30))
        line.show(job(percent=51))
        first, second = stream.getvalue().split('\r')[1:]
        self.assertEqual(len(first), len(second))


class TestFollow(base.CommandTestCase):
    def test_does_not_beat(self):
        # Only the driver may: the command line has not its role.
        self.make_image()
        self.service.beats_needed = 4
        deletion = self.client.delete_image(base.IMAGE)
        self.assertEqual(
            'succeeded', progress.wait(self.client, deletion).state
        )
        self.assertEqual([], self.service.said('POST', '.*/heartbeat'))
