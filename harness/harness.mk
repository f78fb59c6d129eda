# The harness: every .c of a folder belongs to it.
h_src   := $(filter-out harness/kvbench.c harness/kvcheck.c harness/crossing.c,$(wildcard harness/*.c harness/workload/*.c \
	   harness/measure/*.c harness/results/*.c harness/report/*.c))
# The one that takes longest first.
h_tests := peer_tests $(filter-out peer_tests,$(patsubst harness/tests/%.c,%,$(wildcard harness/tests/*_tests.c)))
