/* SPDX-License-Identifier: MIT */
/*
 * section_opening.c - what was run, in a paragraph, and everything that limits what the
 * numbers mean, before any number.
 */
#include <math.h>
#include <string.h>

#include "section.h"

static void add_command(struct report *r)
{
	const json_t *command = json_object_get(r->grid.set, "command");
	struct text line = { 0 };
	size_t i;

	for (i = 0; i < json_array_size(command); i++) {
		const char *word = json_string_value(json_array_get(command, i));

		text_add(&line, i ? " " : "");
		text_add_shell_word(&line, word ? word : "");
	}
	doc_code(&r->doc, text_string(&line));
	text_free(&line);
}

/* Over all replicates: how many are void, and where device bytes came from. */
struct survey {
	size_t replicates, voided, different, plausible;
	const char *void_reason, *device_source, *perf_note;
};

static void survey_replicate(struct survey *s, const json_t *r)
{
	const json_t *usage = json_object_get(json_object_get(r, "run"), "usage");
	const char *why = member_text(r, "void", ""),
		   *content = member_text(r, "content", "");

	s->replicates++;
	if (*why) {
		s->voided++;
		s->void_reason = why;
	}
	s->different += !strcmp(content, "different");
	s->plausible += !strcmp(content, "plausible");
	s->device_source = member_text(usage, "device_source", s->device_source);
	s->perf_note = member_text(usage, "perf_note", s->perf_note);
}

static struct survey survey_all(const json_t *set)
{
	struct survey s = { .device_source = "", .perf_note = "" };
	const json_t *cell, *replicate;
	size_t i, k;

	json_array_foreach(json_object_get(set, "cells"), i, cell)
		json_array_foreach(json_object_get(cell, "replicates"), k, replicate)
			survey_replicate(&s, replicate);
	return s;
}

static void add_limits(struct report *r)
{
	const json_t *set = r->grid.set;
	struct survey s = survey_all(set);

	if (json_is_true(json_object_get(set, "partial")))
		doc_paragraph(
			&r->doc, TONE_WARNING,
			"This run was interrupted. What had been measured is here; the "
			"rest is marked as missing.");
	if (!r->grid.inference)
		doc_paragraph(
			&r->doc, TONE_WARNING,
			"No inference: with this few replicates an interval would mean "
			"little, so ratios stand without one. For numbers to lean on, "
			"run with PROFILE=standard or PROFILE=publish.");
	if (s.different)
		doc_paragraph(
			&r->doc, TONE_BAD,
			"%zu of %zu replicates ended with content that differs from what "
			"was written to the store. Their cells have no number.",
			s.different, s.replicates);
	if (s.voided)
		doc_paragraph(&r->doc, TONE_WARNING,
			      "%zu of %zu replicates are void and count for nothing: %s.",
			      s.voided, s.replicates, s.void_reason);
	if (s.plausible)
		doc_paragraph(
			&r->doc, TONE_QUIET,
			"In runs of several threads two of them may write one key and "
			"either may be last: there each value was held to be some "
			"thread's last write. With one thread all content was equal, "
			"byte for byte, to what was written.");
	if (!strcmp(s.device_source, "/proc/self/io"))
		doc_paragraph(
			&r->doc, TONE_QUIET,
			"The stores shared a file system with others, so device bytes "
			"are the process's own (/proc/self/io): a page counts when it is "
			"dirtied, unless its file goes before it is written; and the file "
			"system's journal is not in it.");
	if (*s.perf_note)
		doc_paragraph(&r->doc, TONE_QUIET, "Counters: %s.", s.perf_note);
}

void section_opening(struct report *r)
{
	const json_t *set = r->grid.set;
	const json_t *machine = json_object_get(set, "fingerprint");
	const char *board = member_text(machine, "board", NULL);

	doc_paragraph(
		&r->doc, TONE_PLAIN,
		"%s on %s%s%s (%s cores), profile %s, %s replicates, base %s. Every "
		"engine did the same operations; a ratio above 1 means more operations a "
		"second than the base.",
		member_text(set, "created", "At an unknown time"), board ? board : "",
		board ? ", " : "", member_text(machine, "cpu", "an unknown CPU"),
		format_count(member_count(machine, "cores")).s,
		member_text(set, "profile", "?"),
		format_count(member_count(json_object_get(set, "settings"), "replicates"))
			.s,
		member_text(set, "base", "?"));
	add_limits(r);
	add_command(r);
	doc_contents(&r->doc);
}
