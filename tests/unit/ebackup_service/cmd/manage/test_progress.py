# SPDX-License-Identifier: Apache-2.0
import io
from unittest import mock

from ebackup_service.cmd.manage import progress
from tests import base


class Terminal(io.StringIO):
    def isatty(self):
        return True


def job(state='running', **figures):
    return mock.Mock(
        kind='check',
        state=state,
        finished=state == 'succeeded',
        progress=figures,
    )


class DescribeTest(base.BaseTestCase):
    def test_tells_how_far_how_fast_how_long(self):
        self.assertEqual(
            'check running, 25 %, 1.0 GiB of 4.0 GiB, 100.0 MiB/s, 30 s left',
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
        self.assertEqual('check pending', progress.describe(job('pending')))
        self.assertEqual(
            'check running', progress.describe(job(percent=None, rate=0))
        )

    def test_of_an_ended_job_has_no_outlook(self):
        self.assertEqual(
            'check succeeded, 100 %',
            progress.describe(
                job('succeeded', percent=100, rate=1, remaining=0)
            ),
        )


class LineTest(base.BaseTestCase):
    def show(self, stream, *percents):
        line = progress.Line(stream)
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
        line = progress.Line(stream)
        line.show(job(percent=50, rate=1 << 30))
        line.show(job(percent=51))
        first, second = stream.getvalue().split('\r')[1:]
        self.assertEqual(len(first), len(second))
