/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_fault.h - what tests may ask of port_fault.c, the allocator that counts and fails.
 *
 * Threads: any; the counters are the whole process's.
 */
#ifndef PORT_FAULT_H
#define PORT_FAULT_H

#include "port.h"

/* The nth allocation from now (1 is the next) returns NULL, and with once false all after
 * it too. 0: none fails. */
void port_fault_set(uint64_t nth, bool once);
bool port_fault_fired(void);          /* has one failed since port_fault_set()? */
uint64_t port_fault_live(void);       /* allocations not yet freed */
uint64_t port_fault_live_bytes(void); /* what was asked for by them */
uint64_t port_fault_calls(void);      /* allocations ever made or refused */

#endif /* PORT_FAULT_H */
