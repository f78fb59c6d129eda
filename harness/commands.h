/* SPDX-License-Identifier: MIT */
/*
 * commands.h - kvbench's subcommands. Each takes what main() takes and returns the exit
 * code: 0 done, 1 failed, 2 usage, 130 interrupted.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

int cmd_bench(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_engines(int argc, char **argv);
int cmd_workloads(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_replicate(int argc, char **argv); /* the child of bench; not for people */

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

#endif /* COMMANDS_H */
