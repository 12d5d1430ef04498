# SPDX-License-Identifier: Apache-2.0
"""Python modules that no package index has, where Debian puts them.

They are made for one Python, Debian's own. Only they are taken from there, or
everything else that is installed there would be found as well.
"""

import importlib.machinery
import importlib.util
import os
import sys

from tests import environment

_DIRECTORY = '/usr/lib/python3/dist-packages'


def need(package: str, *names: str) -> None:
    """Make modules importable, or call environment.lacks().

    :param package: that has them
    :param names: of modules, each after those that it imports
    """
    for name in names:
        if name in sys.modules:
            continue
        for suffix in ['.py', *importlib.machinery.EXTENSION_SUFFIXES]:
            path = os.path.join(_DIRECTORY, name + suffix)
            if os.path.exists(path):
                break
        else:
            version = '.'.join(map(str, sys.version_info[:2]))
            environment.lacks(f'{package} is not there for Python {version}')
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
