/* SPDX-License-Identifier: MIT */
/*
 * report.h - a result set as pages for people: index.html, report.md, pictures.
 */
#ifndef REPORT_H
#define REPORT_H

#include <jansson.h>

#include "../../sprint-1-core-memory/kv.h"

/* Writes dir/index.html (self-contained), dir/report.md and dir/plots/{*.svg,*.png}, by
 * gnuplot. Without gnuplot tables are written and why says what is missing (-ENOENT is
 * not returned for that). */
int report_render(const json_t *set, const char *dir, struct kv_msg *why);

/* The summary that `kvbench bench` ends with, for a terminal `columns` wide. */
int report_print_summary(const json_t *set, unsigned int columns);

#endif /* REPORT_H */
