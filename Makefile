# The workbench: every command that a person types. `make help` lists them.
#
#   B=release|asan|ubsan|tsan   which build; objects go to $(BUILD)/$(B)/
#   CC=clang, CROSS=aarch64-linux-gnu-   another compiler
MAKEFLAGS += --no-builtin-rules
B     ?= release
BUILD ?= build
O     := $(BUILD)/$(B)
CC    := $(CROSS)gcc
AR    := $(CROSS)ar

# Without contraction into fused operations every machine draws the same streams.
CFLAGS    := -std=gnu11 -O2 -g -Wall -Wextra -Werror -D_GNU_SOURCE -pthread -ffp-contract=off
san_asan  := -fsanitize=address,undefined -fno-omit-frame-pointer
san_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
san_tsan  := -fsanitize=thread
CFLAGS    += $(san_$(B)) $(EXTRA_CFLAGS)
ifneq ($(findstring aarch64,$(shell $(CC) -dumpmachine)),)
CFLAGS    += -march=armv8-a -moutline-atomics
endif
LDLIBS    := -ljansson -lm

# Peers: each is built in when its header is there, else left out with a reason.
have = $(shell echo '\#include <$(1)>' | $(CC) $(EXTRA_CFLAGS) -E - >/dev/null 2>&1 && echo yes)
define peer # name, header, libraries
ifeq ($$(call have,$(2)),yes)
CFLAGS += -DHAVE_$(1)
LDLIBS += $(3)
endif
endef
$(eval $(call peer,SQLITE,sqlite3.h,-lsqlite3))
$(eval $(call peer,LMDB,lmdb.h,-llmdb))
$(eval $(call peer,ROCKSDB,rocksdb/c.h,-lrocksdb))
$(eval $(call peer,LEVELDB,leveldb/c.h,-lleveldb))
$(eval $(call peer,WIREDTIGER,wiredtiger.h,-lwiredtiger))
$(eval $(call peer,BDB,db.h,-ldb))
$(eval $(call peer,TKRZW,tkrzw_langc.h,-ltkrzw))

all:

# A sprint: its name, its prefix, the libraries that it may see (its own first).
define sprint
include $(1)/sprint.mk
$(2)_obj := $$($(2)_src:%.c=$(O)/$(1)/%.o)
$(O)/lib$(2).a: $$($(2)_obj)
	@rm -f $$@
	$$(AR) rcs $$@ $$^
$$($(2)_tests:%=$(O)/$(1)/tests/%): $(O)/$(1)/tests/%: $(O)/$(1)/tests/%.o $(test_obj) $(3:%=$(O)/lib%.a)
	$$(CC) $$(CFLAGS) -o $$@ $$^ -lcmocka -lm
$$($(2)_bench:%=$(O)/$(1)/bench/%): $(O)/$(1)/bench/%: $(O)/$(1)/bench/%.o $(3:%=$(O)/lib%.a)
	$$(CC) $$(CFLAGS) -o $$@ $$^ -lm
$(1)/all: $(O)/lib$(2).a
$(1)/test: $$($(2)_tests:%=$(O)/$(1)/tests/%)
	@for t in $$^; do echo "# $$$$t"; $$(RUNNER) ./$$$$t || exit 1; done
$(1)/bench: $$($(2)_bench:%=$(O)/$(1)/bench/%)
	@for b in $$^; do ./$$$$b || exit 1; done
all: $(1)/all
test: $(1)/test
.PHONY: $(1)/all $(1)/test $(1)/bench
endef
# What every test links: an allocator that counts and fails, and the conformance suite.
test_obj := $(patsubst %,$(O)/sprint-1-core-memory/%.o,port_fault $(addprefix tests/kv_, \
	    check check_model conformance conformance_basic conformance_batch conformance_cursor \
	    conformance_snapshot conformance_store conformance_thread history replay shrink))
$(eval $(call sprint,sprint-1-core-memory,s1,s1))
engine_libs := $(O)/libs1.a

include harness/harness.mk
h_obj := $(h_src:%.c=$(O)/%.o)
$(O)/harness/kvbench: $(O)/harness/kvbench.o $(h_obj) $(engine_libs)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
harness/kvbench: $(O)/harness/kvbench
	@ln -sf ../$< $@
all: harness/kvbench
$(h_tests:%=$(O)/harness/tests/%): %: %.o $(h_obj) $(test_obj) $(engine_libs)
	$(CC) $(CFLAGS) -o $@ $^ -lcmocka $(LDLIBS)
harness/test: $(h_tests:%=$(O)/harness/tests/%)
	@for t in $^; do echo "# $$t"; $(RUNNER) ./$$t || exit 1; done
test: harness/test

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

clean:
	rm -rf $(BUILD) harness/kvbench

.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all test harness/test clean harness/kvbench
-include $(shell find $(O) -name '*.d' 2>/dev/null)
