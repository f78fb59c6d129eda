#!/bin/sh
# SPDX-License-Identifier: MIT
# Nothing goes wrong that a reader would see.
modprobe note
echo "a note" >/dev/note
cat /dev/note
