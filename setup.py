# SPDX-License-Identifier: Apache-2.0
"""For tools that still look for it; everything is in pyproject.toml."""

import setuptools

setuptools.setup(setup_requires=['pbr>=6.1.1'], pbr=True)
