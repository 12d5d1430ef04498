# SPDX-License-Identifier: Apache-2.0
"""What answers the requests, one noun a file.

A handler authorises, validates, calls one function of the server, answers.
"""
