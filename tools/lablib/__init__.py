# SPDX-License-Identifier: Apache-2.0
"""The program tools/lab. Standard library only: it makes its own venv.

What runs inside the lab, on Cinder's and Keystone's libraries, is in
tools/labcloud.
"""
