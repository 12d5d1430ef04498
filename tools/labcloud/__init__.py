# SPDX-License-Identifier: Apache-2.0
"""What runs inside a lab, on the libraries of its venv."""
