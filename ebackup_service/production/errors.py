# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a volume, or with the way to it.

``kind`` is the slug that a job's error carries; ``retryable`` says whether
the same request can succeed later without anybody changing it.
"""


class ProductionError(Exception):
    kind = 'production-error'
    retryable = False


class AttachmentInvalid(ProductionError):
    """The attachment is not what this production storage understands."""

    kind = 'attachment-invalid'


class WrongHost(ProductionError):
    """The volume is attached to a host that is not this proxy's."""

    kind = 'wrong-host'


class PathForbidden(ProductionError):
    """Outside the roots, of a type that is no volume, or not permitted."""

    kind = 'path-forbidden'


class PathUnknown(ProductionError):
    """Nothing is there."""

    kind = 'path-unknown'


class PathBusy(ProductionError):
    """Mounted, or in use by something that must not share it."""

    kind = 'path-busy'
    retryable = True


class PathReplaced(ProductionError):
    """The name led to something else when it was opened."""

    kind = 'path-replaced'


class SizeMismatch(ProductionError):
    """The size is not the one that the volume has according to Cinder."""

    kind = 'size-mismatch'


class ExtentsInvalid(ProductionError):
    """A source named extents that overlap, go back, or lie outside it.

    The volume's owner sees the message: it names no path and no address.
    """

    kind = 'extents-invalid'


class SourceUnavailable(ProductionError):
    """The volume can't be opened or read now."""

    kind = 'source-unavailable'
    retryable = True


class TargetUnavailable(ProductionError):
    """The volume to restore to can't be opened, read or written now."""

    kind = 'target-unavailable'
    retryable = True


class DriverLost(ProductionError):
    """Nobody waits for the job any more; the volume may be in other hands."""

    kind = 'driver-lost'
    retryable = True


class StorageUnknown(ProductionError):
    """No production storage of that name is installed."""

    kind = 'production-storage-unknown'


class NotInstalled(ProductionError):
    """The library that reaches a storage is not installed on this proxy."""

    kind = 'production-storage-not-installed'


class SettingsInvalid(ProductionError):
    """A storage is registered with what can't be meant."""

    kind = 'production-settings-invalid'


class VolumeUnknown(ProductionError):
    """The storage has no such volume."""

    kind = 'volume-unknown'


class VolumeBusy(ProductionError):
    """Somebody else has the volume for himself."""

    kind = 'volume-busy'
    retryable = True


class VolumeInUse(ProductionError):
    """It changes while it is read, and the storage takes no snapshots."""

    kind = 'volume-in-use'


class AccessDenied(ProductionError):
    """The storage refuses what it was registered with."""

    kind = 'access-denied'


class CredentialsRefused(AccessDenied):
    """The storage does not let in who it was registered with.

    Before it knows what is asked for: nobody else is let in with the same
    credentials, and who tries may get an account locked.
    """

    kind = 'credentials-refused'


class SnapshotUnknown(ProductionError):
    """The volume has no such snapshot, or none any more."""

    kind = 'snapshot-unknown'


class SnapshotExists(ProductionError):
    """The volume has a snapshot of that name."""

    kind = 'snapshot-exists'


class SnapshotBusy(ProductionError):
    """Something depends on a snapshot, or reads it."""

    kind = 'snapshot-busy'
    retryable = True


class DifferenceUnavailable(ProductionError):
    """What changed since a snapshot can't be told; all can be read.

    The volume's owner sees the message: it names no path and no address.
    """

    kind = 'difference-unavailable'
