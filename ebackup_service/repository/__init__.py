# SPDX-License-Identifier: Apache-2.0
"""The repository: how backup images are kept on backup storage.

The law is doc/source/reference/repository-format.rst; modules name its
sections. From the bottom up: storage/ (objects), document, record, pack, page
(bytes), reader, writer (records in packs), tree, tree_writer (pages),
repository, session (images), collector, checker (all of it).
"""
