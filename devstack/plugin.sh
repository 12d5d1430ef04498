#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# DevStack calls this at every phase. Installing eBackup by DevStack is not
# supported yet: stop at the first phase, rather than end in a cloud whose
# backups do not work. See README.rst.

if [[ "$1" == "stack" && "$2" == "pre-install" ]]; then
    die $LINENO "cinder-ebackup: not supported by DevStack yet; " \
        "tools/lab of cinder-ebackup brings up a complete system instead"
fi
