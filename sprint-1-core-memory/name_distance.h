/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * name_distance.h - how far a misspelt name is from a known one, for "did you mean".
 */
#ifndef NAME_DISTANCE_H
#define NAME_DISTANCE_H

#include "port.h"

/* A known name of so many bytes or more is near to nothing. */
enum { NAME_DISTANCE_MAX = 64 };

/* The least number of bytes to insert, delete or replace that makes name, of len bytes and
 * any of them, the known one; SIZE_MAX where that has NAME_DISTANCE_MAX bytes or more. Takes
 * len times strlen(known) steps and no memory; from any thread. */
size_t name_distance(const char *name, size_t len, const char *known);

#endif /* NAME_DISTANCE_H */
