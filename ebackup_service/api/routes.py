# SPDX-License-Identifier: Apache-2.0
"""Which handler answers which path and method."""

from ebackup_service.api.handlers import image
from ebackup_service.api.handlers import job
from ebackup_service.api.handlers import proxy
from ebackup_service.api.handlers import record
from ebackup_service.api.handlers import repository
from ebackup_service.api.handlers import restore
from ebackup_service.api.handlers import root
from ebackup_service.api.handlers import storage
from ebackup_service.api.handlers import volume
from ebackup_service.api import router

# Answered without authentication.
PUBLIC: router.Table = {
    '/': {'GET': root.list_versions},
    '/v1': {'GET': root.show_version},
    '/v1/': {'GET': root.show_version},
    '/healthcheck': {'GET': root.check_health},
}

ROUTES: router.Table = {
    '/v1/images': {
        'GET': image.list_images,
    },
    '/v1/images/{image_id}': {
        'GET': image.show_image,
        'PUT': image.reserve_image,
        'PATCH': image.update_image,
        'DELETE': image.delete_image,
    },
    '/v1/images/{image_id}/record': {
        'GET': record.show_record,
        'PUT': record.import_record,
    },
    '/v1/restores/{job_id}': {
        'PUT': restore.reserve_restore,
    },
    '/v1/volumes/{volume_id}/anchors': {
        'DELETE': volume.forsake_anchors,
    },
    '/v1/jobs': {
        'GET': job.list_jobs,
    },
    '/v1/jobs/{job_id}': {
        'GET': job.show_job,
    },
    '/v1/jobs/{job_id}/attachment': {
        'PUT': job.attach_job,
        'DELETE': job.detach_job,
    },
    '/v1/jobs/{job_id}/detach': {
        'POST': job.begin_to_detach_job,
    },
    '/v1/jobs/{job_id}/heartbeat': {
        'POST': job.beat_job,
    },
    '/v1/jobs/{job_id}/cancel': {
        'POST': job.cancel_job,
    },
    '/v1/repositories': {
        'GET': repository.list_repositories,
        'POST': repository.create_repository,
    },
    '/v1/repositories/{name}': {
        'GET': repository.show_repository,
        'DELETE': repository.delete_repository,
    },
    '/v1/repositories/{name}/usage': {
        'GET': repository.show_usage,
    },
    '/v1/repositories/{name}/collect': {
        'POST': repository.collect_repository,
    },
    '/v1/repositories/{name}/check': {
        'POST': repository.check_repository,
    },
    '/v1/repositories/{name}/rebuild': {
        'POST': repository.rebuild_catalog,
    },
    '/v1/storages': {
        'GET': storage.list_storages,
        'POST': storage.create_storage,
    },
    '/v1/storages/{name}': {
        'GET': storage.show_storage,
        'PATCH': storage.update_storage,
        'DELETE': storage.delete_storage,
    },
    '/v1/proxies': {
        'GET': proxy.list_proxies,
    },
}
