/* SPDX-License-Identifier: MIT */
/*
 * report.h - prints what words.h counted.
 */
#ifndef REPORT_H
#define REPORT_H

#include "words.h"

void report_print(const struct words *w);

#endif /* REPORT_H */
