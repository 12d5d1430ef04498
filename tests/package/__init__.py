# SPDX-License-Identifier: Apache-2.0
"""The wheel, installed as users do it, into an environment of its own.

Run by tox -e package. What is tested is what is installed, so nothing is
imported from the tree, where the tests themselves are.
"""
