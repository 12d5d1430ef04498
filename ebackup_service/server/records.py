# SPDX-License-Identifier: Apache-2.0
"""Records: by which Cinder exports a backup, and imports it again."""

import base64
from collections.abc import Iterator
import dataclasses
import json
from typing import Any

from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server.catalog import service
from ebackup_service.server import errors
from ebackup_service.server import images

# What Cinder calls the driver, of a backup that does not say so itself.
DRIVER = 'ebackup_driver.driver.EBackupDriver'

_PAGE = 500
_GIB = 1024**3


@dataclasses.dataclass(frozen=True)
class Exported:
    """What it takes to import an image into Cinder.

    ``backup_service`` and ``backup_url`` are Cinder's words for it.
    """

    image: image_rows.Image
    backup_service: str
    backup_url: str


def show(
    catalog: database.Catalog, image_id: str, project_id: str | None = None
) -> dict[str, Any]:
    """What the driver puts into the exported record of an available image.

    :raises errors.NotFound: no such image, or another project's.
    :raises errors.Conflict: it is not available (``image-not-available``).
    """
    image = images.show(catalog, image_id, project_id)
    if image.state != image_rows.AVAILABLE:
        raise errors.Conflict(
            'image-not-available',
            f'Image {image_id} is {image.state}; only an available one can '
            'be exported.',
        )
    with catalog.reader() as session:
        owner = service.get(session)
    return _driver_info(image, owner)


def confirm(
    catalog: database.Catalog,
    image_id: str,
    project_id: str,
    record: dict[str, Any],
) -> image_rows.Image:
    """The image that an exported record speaks of, if the project has it.

    Nothing changes: who imports a record gets what the service agrees is
    theirs, and learns nothing about what is not. The service that exported
    it may have been another one, from which the repository was taken: ids of
    repositories and images are random, so the same ids are the same image,
    and whose that is only this catalog says.

    :raises errors.NotFound: this service has no such image of the project.
    """
    with catalog.reader() as session:
        image = image_rows.get(session, image_id)
    if (
        image is None
        or image.state != image_rows.AVAILABLE
        or image.project_id != project_id
        or not _agree(record, _identity(image))
    ):
        raise errors.NotFound(
            'record-unknown',
            f'The project has no image {image_id} as the record says.',
        )
    return image


def export(
    catalog: database.Catalog,
    repository: str,
    project_id: str | None = None,
    volume_id: str | None = None,
) -> Iterator[Exported]:
    """What Cinder's import takes, of all available images of a repository.

    :raises errors.NotFound: no repository of that name.
    """
    asked = {'project_id': project_id, 'volume_id': volume_id}
    filters = {key: value for key, value in asked.items() if value}
    with catalog.reader() as session:
        owner = service.get(session)
        found = repository_rows.named(session, repository)
    if found is None:
        raise errors.NotFound(
            'repository-unknown', f'No repository {repository!r}.'
        )
    filters.update(repository_id=found.id, state=image_rows.AVAILABLE)
    return _pages(catalog, owner, filters)


def _pages(
    catalog: database.Catalog,
    owner: service.Service,
    filters: dict[str, Any],
) -> Iterator[Exported]:
    marker = None
    while True:
        with catalog.reader() as session:
            found = image_rows.page(session, filters, _PAGE, marker)
        for image in found:
            yield _exported(image, owner)
        if not found:
            return
        marker = found[-1].id


def _exported(image: image_rows.Image, owner: service.Service) -> Exported:
    record = {
        **_cinder_record(image),
        'driver_info': _driver_info(image, owner),
    }
    made_by = record.get('service')
    return Exported(
        image,
        made_by if isinstance(made_by, str) and made_by else DRIVER,
        base64.b64encode(json.dumps(record).encode()).decode(),
    )


def _cinder_record(image: image_rows.Image) -> dict[str, Any]:
    """The record as Cinder had it once the backup was available.

    What the repository keeps is from before: the driver sends it when it
    reserves the image. What of it was for that time only, a temporary
    snapshot or clone, is gone; the parent is, too, since no image needs one.
    What is missing is made up for, as far as the import asks for it.
    """
    size = image.record.get('size')
    least = image_rows.least_volume(image)
    if not isinstance(size, int):
        size, least = 0, image.size or 0
    return {
        'display_name': image.name,
        'display_description': image.description,
        'volume_id': image.volume_id,
        'snapshot_id': image.snapshot_id,
        'container': None,
        'service_metadata': None,
        'object_count': 0,
        'created_at': image.created_at.strftime('%Y-%m-%dT%H:%M:%SZ'),
        **image.record,
        'id': image.id,
        'project_id': image.project_id,
        # Cinder restores to no volume that is smaller than that.
        'size': max(size, -(-least // _GIB)),
        'status': 'available',
        'fail_reason': None,
        'parent_id': None,
        'temp_volume_id': None,
        'temp_snapshot_id': None,
        'restore_volume_id': None,
    }


def _driver_info(
    image: image_rows.Image, owner: service.Service
) -> dict[str, Any]:
    return {'service': owner.uuid, **_identity(image)}


def _identity(image: image_rows.Image) -> dict[str, Any]:
    return {
        'repository_id': image.repository_id,
        'image_id': image.id,
        'volume_id': image.volume_id,
        'generation': image.generation,
        'size': image.size,
        'chunk_size': image.chunk_size,
    }


def _agree(record: dict[str, Any], identity: dict[str, Any]) -> bool:
    return all(
        # 1 is neither True nor 1.0 here
        type(record.get(name)) is type(value) and record.get(name) == value
        for name, value in identity.items()
    )
