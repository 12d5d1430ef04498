# SPDX-License-Identifier: Apache-2.0
"""Backup images."""

import argparse

from osc_lib import exceptions

from ebackup_driver import errors
from ebackup_driver.osc import arguments
from ebackup_driver.osc import output
from ebackup_driver.osc import progress
from ebackup_driver import resources

SIZES = ('size', 'bytes_read', 'bytes_stored', 'chunk_size', 'damaged_bytes')

_COLUMNS = {
    'ID': 'id',
    'Name': 'name',
    'Volume': 'volume_id',
    'State': 'state',
    'Kind': 'kind',
    'Size': 'size',
    'Stored': 'bytes_stored',
    'Created At': 'created_at',
}
_LONG_COLUMNS = {
    'Project': 'project_id',
    'Repository': 'repository',
    'Generation': 'generation',
    'Read': 'bytes_read',
    'Snapshot': 'snapshot_id',
    'Damaged': 'damaged_bytes',
}


class ListImages(output.Lister):
    """List backup images"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--volume', metavar='<volume-id>', help='of this volume only'
        )
        parser.add_argument(
            '--state', metavar='<state>', help='in this state only'
        )
        parser.add_argument(
            '--project',
            metavar='<project-id>',
            help='of this project only (needs an administrator)',
        )
        parser.add_argument(
            '--all-projects',
            action='store_true',
            help='of all projects (needs an administrator)',
        )
        parser.add_argument(
            '--long', action='store_true', help='show more columns'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Table:
        columns = dict(_COLUMNS)
        if parsed_args.long:
            columns |= _LONG_COLUMNS
        images = self.client.images(
            project_id=parsed_args.project,
            volume_id=parsed_args.volume,
            state=parsed_args.state,
            all_projects=parsed_args.all_projects,
        )
        return output.table(columns, (i.to_dict() for i in images), SIZES)


class ShowImage(output.ShowOne):
    """Show a backup image"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'image', metavar='<image>', type=arguments.uuid, help='its ID'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        image = self.client.image(parsed_args.image)
        return output.fields(image.to_dict(), SIZES)


class SetImage(output.ShowOne):
    """Allow, or refuse, to restore what is not damaged of a backup image

    Of an image that is damaged nothing is restored unless that is allowed
    here. Then its restores succeed, with zeros where it is damaged; their
    jobs show where.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'image', metavar='<image>', type=arguments.uuid, help='its ID'
        )
        choice = parser.add_mutually_exclusive_group(required=True)
        choice.add_argument(
            '--restore-damaged',
            action='store_true',
            help='restore the rest, if some of it is damaged',
        )
        choice.add_argument(
            '--no-restore-damaged',
            dest='restore_damaged',
            action='store_false',
            help='restore it whole or not at all',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> output.Fields:
        image = self.client.update_image(
            parsed_args.image,
            {'restore_damaged': parsed_args.restore_damaged},
        )
        return output.fields(image.to_dict(), SIZES)


class DeleteImage(output.Lister):
    """Delete backup images, and show the jobs that do so

    Cinder still shows backups whose images were deleted here: prefer to
    delete the backup. If one can't be deleted, the others still are; the
    command then fails.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'images',
            metavar='<image>',
            nargs='+',
            type=arguments.uuid,
            help='their IDs',
        )
        progress.add_option(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        self._problems: list[str] = []
        code = super().run(parsed_args)
        if self._problems:
            # Only now: what was done is shown first.
            raise exceptions.CommandError('\n'.join(self._problems))
        return code

    def take_action(self, parsed_args: argparse.Namespace) -> output.Table:
        # Each once, in their order.
        images = dict.fromkeys(parsed_args.images)
        deletions = [(image, *self._delete(image)) for image in images]
        if parsed_args.wait:
            deletions = [
                (image, *self._wait(job, state))
                for image, job, state in deletions
            ]
        return ('Image', 'Job', 'Job State'), [
            (image, job and job.id, state) for image, job, state in deletions
        ]

    def _delete(
        self, image_id: str
    ) -> tuple[resources.Job | None, str | None]:
        """Return the job and its state: (None, None) if it can't be done."""
        try:
            # A mistyped ID must not leave a tombstone.
            self.client.image(image_id)
            job = self.client.delete_image(image_id)
        except errors.EBackupError as error:
            said = str(error)
            if image_id not in said:
                said = f'Image {image_id}: {said}'
            self._problems.append(said)
            return None, None
        return (job, job.state) if job is not None else (None, 'deleted')

    def _wait(
        self, job: resources.Job | None, state: str | None
    ) -> tuple[resources.Job | None, str | None]:
        if job is None:
            return job, state
        try:
            job = progress.follow(self.client, job)
        except errors.EBackupError as error:
            self._problems.append(f'{job.kind} job {job.id}: {error}')
            return job, state
        failure = progress.failure(job)
        if failure is not None:
            self._problems.append(failure)
        return job, job.state
