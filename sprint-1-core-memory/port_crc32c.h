/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_crc32c.h - the ways that port_crc32c() may go, for tests and benches.
 */
#ifndef PORT_CRC32C_H
#define PORT_CRC32C_H

#include "port.h"

bool port_crc32c_has_instruction(void);
uint32_t port_crc32c_tables(uint32_t crc, const void *p, size_t n);
uint32_t port_crc32c_instruction(uint32_t crc, const void *p,
				 size_t n); /* only if it has */

#endif /* PORT_CRC32C_H */
