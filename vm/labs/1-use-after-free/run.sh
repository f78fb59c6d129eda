#!/bin/sh
# SPDX-License-Identifier: MIT
# Clears the note, then reads it.
modprobe note
echo "a note" >/dev/note
note_tool clear
cat /dev/note
