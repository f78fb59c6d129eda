/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * array_engine.h - the simplest store that can work: a sorted array in memory.
 *
 * The baseline of every report and the oracle of every test. Options: memory_bytes, a
 * cap on what the pairs take (0: none), beyond which puts answer -ENOSPC.
 */
#ifndef ARRAY_ENGINE_H
#define ARRAY_ENGINE_H

#include "kv.h"

extern const struct kv_ops array_engine;

#endif /* ARRAY_ENGINE_H */
