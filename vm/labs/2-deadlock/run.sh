#!/bin/sh
# SPDX-License-Identifier: MIT
# Writes, then asks: one after the other, so nothing hangs, and lockdep still knows.
modprobe note
echo "a note" >/dev/note
note_tool info
