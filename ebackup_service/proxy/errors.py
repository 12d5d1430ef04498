# SPDX-License-Identifier: Apache-2.0
"""What a proxy itself finds wrong with a job.

``kind`` is the slug that the job's error carries, as with the errors of
``production``.
"""


class ProxyError(Exception):
    kind = 'proxy-error'
    retryable = False


class Fenced(ProxyError):
    """The server gave the job up, or to another proxy."""

    kind = 'lease-lost'
    retryable = True


class ServerFailed(ProxyError):
    """The server fails each time that it is asked; see its log."""

    kind = 'internal-error'


class RepositoryFull(ProxyError):
    """Less is free than the floor below which backups are refused."""

    kind = 'repository-full'
    retryable = True


class ImageDamaged(ProxyError):
    """Not all of the image could be restored, and nobody asked for less."""

    kind = 'image-damaged'


class AttachmentTimeout(ProxyError):
    """The driver did not say how the volume is reached."""

    kind = 'attachment-timeout'
    retryable = True


class JobInvalid(ProxyError):
    """The job lacks what its kind needs."""

    kind = 'job-invalid'
