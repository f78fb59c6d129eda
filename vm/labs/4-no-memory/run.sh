#!/bin/sh
# SPDX-License-Identifier: MIT
# The nth allocation of one reading fails, for each n until none is left to fail.
modprobe note
echo "a note" >/dev/note
. /vm/check.sh
fail_each_allocation note_tool read
