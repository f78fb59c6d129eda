/* SPDX-License-Identifier: MIT */
/*
 * fingerprint.h - where a number was measured: without it a number means nothing.
 */
#ifndef FINGERPRINT_H
#define FINGERPRINT_H

#include <jansson.h>

/* A new JSON object (docs/results.schema.json, "fingerprint"): board, CPU, cores, memory,
 * kernel, page size, governor, filesystem and device of dir, compiler and flags, git
 * revision. Unknown fields are null. NULL when out of memory. */
json_t *fingerprint_json(const char *dir);

/* {"celsius": 51.2|null, "throttled": true|false|null, "throttled_bits": "0x50000"|null,
 *  "mhz": 1800|null}: taken before and after each replicate. On a Raspberry Pi from the firmware. */
json_t *fingerprint_thermal_json(void);

#endif /* FINGERPRINT_H */
