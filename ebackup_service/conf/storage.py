# SPDX-License-Identifier: Apache-2.0
"""Options of production storages: a section each, of the storage's name.

``[server] enabled_storages`` names them. What else a section may have depends
on the kind: each member of the kind's schemas is an option.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

KIND = cfg.StrOpt(
    'kind', help='What kind of storage it is, for instance rbd or nbd.'
)
OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        'backends',
        default=[],
        help='Back ends of Cinder whose volumes are on it: the host of these '
        'volumes up to "#", for instance node1@ceph.',
    ),
    cfg.StrOpt(
        'trust',
        default='trusted',
        choices=[
            ('trusted', 'What it says of changes is relied upon.'),
            (
                'shadow',
                'Everything is read and compared; what it would have missed '
                'is reported.',
            ),
        ],
        help='How far what the storage says of changes is trusted.',
    ),
    cfg.BoolOpt(
        'anchors',
        help='Whether a snapshot of each volume stays on it, against which '
        'the next backup of the volume reads only what changed. If it is not '
        'set: whether Cinder can delete such volumes from a storage of this '
        'kind.',
    ),
]
_TYPES: Mapping[str, type[cfg.Opt]] = {
    'string': cfg.StrOpt,
    'integer': cfg.IntOpt,
    'number': cfg.FloatOpt,
    'boolean': cfg.BoolOpt,
    'array': cfg.ListOpt,
}


def kind(conf: cfg.ConfigOpts, name: str) -> str:
    """:raises cfg.RequiredOptError: the section does not say it"""
    conf.register_opt(KIND, group=name)
    if not conf[name].kind:
        raise cfg.RequiredOptError('kind', cfg.OptGroup(name))
    return str(conf[name].kind)


def values(
    conf: cfg.ConfigOpts,
    name: str,
    settings: Mapping[str, Any],
    credentials: Mapping[str, Any],
) -> dict[str, Any]:
    """What a section says: backends, trust, anchors, settings, credentials.

    :param settings: JSON schema of what the kind is set with
    :param credentials: JSON schema of what is secret of it
    """
    conf.register_opts(OPTS, group=name)
    found = _given(conf, name, OPTS)
    found['settings'] = _members(conf, name, settings, secret=False)
    found['credentials'] = _members(conf, name, credentials, secret=True)
    return found


def _members(
    conf: cfg.ConfigOpts, name: str, schema: Mapping[str, Any], secret: bool
) -> dict[str, Any]:
    opts = [
        _TYPES[described.get('type', 'string')](member, secret=secret)
        for member, described in schema.get('properties', {}).items()
    ]
    conf.register_opts(opts, group=name)
    return _given(conf, name, opts)


def _given(
    conf: cfg.ConfigOpts, name: str, opts: Sequence[cfg.Opt]
) -> dict[str, Any]:
    values = {opt.dest: conf[name][opt.dest] for opt in opts}
    return {key: values[key] for key in values if values[key] is not None}
