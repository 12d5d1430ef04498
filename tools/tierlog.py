# SPDX-License-Identifier: Apache-2.0
"""What the log of a tier says of its tests, by the words of its tools."""

from collections import abc
import re

# Lines, and characters of one, that say enough; the log has the rest.
_MOST = 30
_WIDEST = 500
# {worker} test [seconds] ... outcome. A worker that dies, or is killed by a
# test's timeout, leaves its test in progress.
_FAILED = re.compile(r'^\{\d+\} (.+) \[[^]]*\] \.\.\. FAILED$', re.M)
_UNENDED = re.compile(r'^\{\d+\} (.+) \[[^]]*\] \.\.\. inprogress$', re.M)
_HOOK = re.compile(r'\.Failed\n- hook id: (.+)$', re.M)


def totals(log: str) -> dict[str, int]:
    """Counts of all runs of stestr."""
    counts: dict[str, int] = {}
    for word, number in re.findall(r'^ - ([A-Z][\w ]+): (\d+)$', log, re.M):
        counts[word] = counts.get(word, 0) + int(number)
    return counts


def failures(log: str) -> list[str]:
    """What failed, a line each: tests, linters, or else how the log ends."""
    found = [
        *_FAILED.findall(log),
        *(f'{test} (it did not end)' for test in _UNENDED.findall(log)),
        *_HOOK.findall(log),
    ]
    if found:
        more = [f'and {len(found) - _MOST} more'] if found[_MOST:] else []
        return found[:_MOST] + more
    return ['no test; its log ends:', *_end(log)]


def _end(log: str) -> abc.Iterator[str]:
    for line in log.splitlines()[-_MOST:]:
        yield f'  {line[:_WIDEST]}'.rstrip()
