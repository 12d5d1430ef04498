# SPDX-License-Identifier: Apache-2.0
"""ebackup-manage: an operator's commands, one noun a file.

They work on the catalog itself with the functions that the API uses, so that
they do without the API. What moves data becomes a job, which a server hands
out as soon as one runs.
"""

import argparse
from collections.abc import Sequence
import sys

from oslo_config import cfg

from ebackup_service.api import errors as api_errors
from ebackup_service.cmd import catalogs
from ebackup_service.cmd.manage import command
from ebackup_service.cmd.manage import db
from ebackup_service.cmd.manage import image
from ebackup_service.cmd.manage import job
from ebackup_service.cmd.manage import proxy
from ebackup_service.cmd.manage import repository
from ebackup_service.cmd.manage import storage
from ebackup_service import conf as service_conf
from ebackup_service.server import errors

PROG = 'ebackup-manage'
NOUNS = (db, image, job, repository, storage, proxy)
EXIT_CODES = """\
exit codes:
  0  done
  1  not possible: the message says why
  2  the command line is wrong
  3  there is no such object
  4  with --wait: the job failed, was cancelled, or found damage, or that the
     catalog is not what the repository says
  5  with --wait: the job did not end within --timeout
"""


def main(args: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(args)
    try:
        conf = service_conf.load(PROG, _config_args(asked))
        with command.Context.opened(conf, asked) as context:
            code: int = asked.run(context, asked)
            return code
    except api_errors.BadRequest as error:
        return _say(error, 2)
    except errors.NotFound as error:
        return _say(error, 3)
    except errors.ServerError as error:
        return _say(error, 1)
    except (catalogs.NotReady, cfg.Error, OSError) as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return 130


def _say(error: Exception, code: int) -> int:
    print(f'{PROG}: {error}', file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROG,
        description='Look after the eBackup service.',
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--config-file',
        action='append',
        default=[],
        metavar='FILE',
        help='default: /etc/ebackup/ebackup.conf',
    )
    nouns = parser.add_subparsers(title='nouns', required=True, metavar='NOUN')
    for noun in NOUNS:
        noun.add_to(nouns)
    return parser


def _config_args(asked: argparse.Namespace) -> list[str]:
    return [
        word for path in asked.config_file for word in ('--config-file', path)
    ]
