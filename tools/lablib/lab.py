# SPDX-License-Identifier: Apache-2.0
"""A lab: its directory, and what was decided when it was first brought up."""

from collections.abc import Iterator
import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import secrets
import shutil

from lablib import console
from lablib import ports
from lablib import system

TREE = pathlib.Path(__file__).resolve().parents[2]
PROFILES = ('default', 'processes', 'ceph')
ACCOUNTS = ('admin', 'demo', 'other', 'cinder', 'ebackup')
# Debian's group of the block devices.
DISK_GID = 6


@dataclasses.dataclass
class Settings:
    """What is decided once, and recorded in lab.json."""

    profile: str
    base_port: int
    passwords: dict[str, str]
    # Of Cinder's backup service, in profile processes: eventlet or native.
    backup_threading: str = 'native'
    # In profile processes, of eBackup: one, or two.
    proxies: int = 1

    @property
    def separate(self) -> bool:
        """Tell whether each service is a process of its own."""
        return self.profile == 'processes'

    @property
    def ceph(self) -> bool:
        """Tell whether volumes are in Ceph."""
        return self.profile == 'ceph'

    @property
    def user(self) -> int:
        """Return uid and gid of the eBackup service.

        Labs side by side differ in their ports, so they differ in this, too.
        """
        return self.base_port

    @property
    def volume_group(self) -> int:
        """Return the group that owns the files of the back end "file"."""
        return self.base_port + 1


class Lab:
    """The lab in a directory; everything that it makes is below that."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.venv = directory / 'venv'
        self.source = directory / 'src'
        self.etc = directory / 'etc'
        self.log = directory / 'log'
        self.run = directory / 'run'
        self.state = directory / 'state'
        self.volumes = directory / 'volumes'
        self.volume_image = directory / 'volumes.xfs'
        self.repository = directory / 'repository'
        self._file = directory / 'lab.json'
        self._new = directory / 'lab.new'
        self._removing = directory / 'being-removed'
        self._settings: Settings | None = None
        self._lock: int | None = None

    @property
    def exists(self) -> bool:
        return self._file.exists()

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            try:
                self._settings = Settings(**json.loads(self._file.read_text()))
            except FileNotFoundError:
                raise console.Problem(
                    f'there is no lab in {self.directory}; make one with '
                    f'"tools/lab --dir {self.directory} up"'
                ) from None
        return self._settings

    def create(
        self,
        profile: str,
        base_port: int | None = None,
        backup_threading: str | None = None,
    ) -> None:
        """Make the directory and decide, unless both were done before.

        :raises Problem: the directory is not for us to use, or the lab in it
            is another than the one wanted
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.exists:
            self._check(profile, base_port)
        else:
            self.abandon()
            self._check_passage()
            names = (*ACCOUNTS, 'rabbitmq', 'cinder-db', 'ebackup-db', 's3')
            self._settings = Settings(
                profile=profile,
                base_port=ports.choose(base_port),
                passwords={name: secrets.token_hex(8) for name in names},
            )
        if backup_threading:
            self.settings.backup_threading = backup_threading
        self._save()
        for path in self.etc, self.log, self.run, self.state, self.source:
            path.mkdir(exist_ok=True)

    @property
    def is_being_removed(self) -> bool:
        """Tell whether clear() was interrupted."""
        return self.exists and self._removing.exists()

    def abandon(self) -> None:
        """Where there is no lab yet, remove what an interrupted create() left.

        :raises Problem: there is something else, which is not ours
        """
        if any(path != self._new for path in self.directory.iterdir()):
            raise console.Problem(
                f'{self.directory} holds something, but no lab; it is left as '
                'it is'
            )
        self._new.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all but the directory; nothing may run or be mounted."""
        # From here on, nothing that is still there is to be relied upon. The
        # file that says that this is a lab goes last.
        self._removing.touch()
        last = [self._removing, self._file]
        for path in sorted(self.directory.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path not in last:
                path.unlink()
        for path in last:
            path.unlink()
        self._settings = None

    def _check_passage(self) -> None:
        """See that a service with a user of its own can get in."""
        mode = self.directory.stat().st_mode & 0o777
        if system.is_root() and not mode & 0o001:
            raise console.Problem(
                f'{self.directory} is closed to the users of the services '
                f'(mode {mode:04o}); chmod it to 0755, or choose a --dir that '
                'is not there yet'
            )

    def _check(self, profile: str, base_port: int | None) -> None:
        for what, wanted, found in (
            ('profile', profile, self.settings.profile),
            ('base port', base_port, self.settings.base_port),
        ):
            if wanted not in (None, found):
                raise console.Problem(
                    f'the lab in {self.directory} has {what} {found}, not '
                    f'{wanted}; destroy it first, or choose another --dir'
                )

    def _save(self) -> None:
        self._new.touch(mode=0o600)
        self._new.write_text(
            json.dumps(dataclasses.asdict(self.settings), indent=2) + '\n'
        )
        self._new.replace(self._file)

    def port(self, name: str) -> int:
        return self.settings.base_port + ports.NAMES.index(name)

    def url(self, name: str, path: str = '') -> str:
        return f'http://127.0.0.1:{self.port(name)}{path}'

    def binary(self, name: str) -> str:
        return str(self.venv / 'bin' / name)

    def done(self, stage: str) -> bool:
        """Tell whether a stage that is gone through once is behind us."""
        return (self.state / f'{stage}.done').exists()

    def mark_done(self, stage: str) -> None:
        with (self.state / f'{stage}.done').open('w') as stamp:
            # A power cut must not take it back and leave what came after it.
            os.fsync(stamp.fileno())

    @contextlib.contextmanager
    def locked(self, create: bool = False) -> Iterator[None]:
        """Keep other runs of tools/lab from changing this lab meanwhile.

        The lock is on the directory itself, so that it needs no file and
        does not survive us and what `lock` was passed on to. Where there is
        no directory, and none is to be made, there is nothing to lock.
        """
        if create:
            self.directory.mkdir(parents=True, exist_ok=True)
        elif not self.directory.is_dir():
            yield
            return
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                console.say('waiting for another tools/lab to finish')
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._lock = descriptor
            yield
        finally:
            self._lock = None
            os.close(descriptor)

    @property
    def lock(self) -> tuple[int, ...]:
        """Return the descriptors that a command which changes it inherits.

        When we are killed, the lock lasts until the command has ended as
        well: nobody begins anew while it still writes.
        """
        return () if self._lock is None else (self._lock,)
