# The workbench: every command that a person types. `make help` lists them.
#
#   B=release|asan|ubsan|tsan|coverage   which build; objects go to $(BUILD)/$(B)/
#   CC=clang, CROSS=aarch64-linux-gnu-   another compiler; V=1 shows commands
MAKEFLAGS += --no-builtin-rules --no-print-directory
B     ?= release
BUILD ?= build
O     := $(BUILD)/$(B)
ifeq ($(origin CC),default)
CC    := $(CROSS)gcc
endif
AR    := $(CROSS)ar
Q     := $(if $(V),,@)

# Without contraction into fused operations every machine draws the same streams.
CFLAGS       := -std=gnu11 -O2 -g -Wall -Wextra -Werror -D_GNU_SOURCE -pthread -ffp-contract=off
san_asan     := -fsanitize=address,undefined -fno-omit-frame-pointer
san_ubsan    := -fsanitize=undefined -fno-sanitize-recover=all
san_tsan     := -fsanitize=thread
san_coverage := --coverage
san_fuzz     := -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer
CFLAGS       += $(san_$(B)) $(EXTRA_CFLAGS)
ifneq ($(findstring aarch64,$(shell $(CC) -dumpmachine 2>/dev/null)),)
CFLAGS       += -march=armv8-a -moutline-atomics
endif
LDLIBS       := $(EXTRA_LDFLAGS) -ljansson -lm

# Peers: each of PEERS is built in when its header is there, else left out with a reason.
PEERS ?= SQLITE LMDB ROCKSDB LEVELDB WIREDTIGER BDB TKRZW
# In the call of a function GNU make from 4.3 on keeps the backslash that others want.
sharp := \#
have = $(shell echo '$(sharp)include <$(1)>' | $(CC) $(EXTRA_CFLAGS) -E - >/dev/null 2>&1 && echo yes)
define peer # name, header, libraries
ifeq ($$(and $$(filter $(1),$(PEERS)),$$(call have,$(2))),yes)
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

# A home of env.h on io_uring, where there are liburing's header and the library (of another
# machine, when cross-building, it is often the header alone).
links = $(shell echo '$(sharp)include <$(1)>@int main(void) { return 0; }' | tr @ '\n' | $(CC) $(EXTRA_CFLAGS) \
	-x c - -o /dev/null $(EXTRA_LDFLAGS) $(2) >/dev/null 2>&1 && echo yes)
ifeq ($(call links,liburing.h,-luring),yes)
CFLAGS += -DHAVE_LIBURING
URING  := -luring
endif
# Compression of tables, where there is liblz4.
ifeq ($(call links,lz4.h,-llz4),yes)
CFLAGS += -DHAVE_LZ4
LZ4    := -llz4
endif
own_libs := $(URING) $(LZ4) -lm
LDLIBS += $(URING) $(LZ4)

all: ## build everything, without tests
tests: ## build everything and the tests

# A sprint: its name, its prefix, the libraries that it may see (its own first).
define sprint
include $(1)/sprint.mk
$(2)_obj := $$($(2)_src:%.c=$(O)/$(1)/%.o)
$(O)/lib$(2).a: $$($(2)_obj)
	@rm -f $$@
	$$(say)AR $$@
	$$(Q)$$(AR) rcs $$@ $$^
$$($(2)_tests:%=$(O)/$(1)/tests/%): $(O)/$(1)/tests/%: $(O)/$(1)/tests/%.o $(test_obj) $(3:%=$(O)/lib%.a)
	$$(say)LD $$@
	$$(Q)$$(CC) $$(CFLAGS) -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^) $$(EXTRA_LDFLAGS) -lcmocka $(own_libs)
$$($(2)_bench:%=$(O)/$(1)/bench/%): $(O)/$(1)/bench/%: $(O)/$(1)/bench/%.o $(3:%=$(O)/lib%.a)
	$$(say)LD $$@
	$$(Q)$$(CC) $$(CFLAGS) -o $$@ $$^ $$(EXTRA_LDFLAGS) $(own_libs)
$(1)/all: $(O)/lib$(2).a
$(1)/tests: $$($(2)_tests:%=$(O)/$(1)/tests/%)
$(1)/test: $(1)/tests
	@harness/tools/run_tests.sh $$($(2)_tests:%=$(O)/$(1)/tests/%)
$(1)/bench: $$($(2)_bench:%=$(O)/$(1)/bench/%)
	@for b in $$(abspath $$^); do $$$$b || exit 1; done
all: $(1)/all
tests: $(1)/tests
test_programs += $$($(2)_tests:%=$(O)/$(1)/tests/%)
.PHONY: $(1)/all $(1)/tests $(1)/test $(1)/bench
endef
say = $(if $(V),@:,@echo " ")
# What every test links: an allocator that counts and fails, and the conformance suite.
test_obj := $(patsubst %,$(O)/sprint-1-core-memory/%.o,port_fault $(addprefix tests/kv_, \
	    check check_model conformance conformance_basic conformance_batch conformance_cursor \
	    conformance_snapshot conformance_store conformance_thread history replay shrink))
$(eval $(call sprint,sprint-1-core-memory,s1,s1))
$(eval $(call sprint,sprint-2-hash-storage,s2,s2 s1))
$(eval $(call sprint,sprint-3-btree-storage,s3,s3 s2 s1))
$(eval $(call sprint,sprint-4-lsm-simd,s4,s4 s2 s1))
engine_libs := $(O)/libs4.a $(O)/libs3.a $(O)/libs2.a $(O)/libs1.a

include harness/harness.mk
h_obj := $(h_src:%.c=$(O)/%.o)
h_test_bin := $(h_tests:%=$(O)/harness/tests/%)
h_programs := kvbench kvcheck crossing
$(h_programs:%=$(O)/harness/%): %: %.o $(h_obj) $(engine_libs)
	$(say)LD $@
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(h_programs:%=harness/%): harness/%: $(O)/harness/%
	@ln -sf $(if $(filter /%,$<),,../)$< $@
all: $(h_programs:%=harness/%)
$(h_test_bin): %: %.o $(h_obj) $(test_obj) $(engine_libs)
	$(say)LD $@
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -lcmocka $(LDLIBS)
include harness/learn/learn.mk
harness/tests: $(h_test_bin)
harness/test: harness/tests
	@harness/tools/run_tests.sh $(h_test_bin)
tests: harness/tests $(h_programs:%=$(O)/harness/%)
# These begin, for they take longest: none is left to run alone at the end.
test_programs := $(h_test_bin) $(test_programs)

# Objects are made anew when the compiler, its flags or the peers found change.
$(O)/flags: always
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(CFLAGS)' > $@
$(O)/revision: always
	@mkdir -p $(@D)
	@git describe --always --dirty 2>/dev/null | cmp -s - $@ || \
		(git describe --always --dirty 2>/dev/null || true) > $@
$(O)/harness/measure/fingerprint.o: $(O)/revision
$(O)/harness/measure/fingerprint.o: DEFINES = '-DKVBENCH_GIT="$(shell cat $(O)/revision)"' \
	'-DKVBENCH_CFLAGS="$(filter -O% -m% -f% -std%,$(CFLAGS))"'
$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(say)CC $<
	$(Q)$(CC) $(CFLAGS) $(DEFINES) -MMD -MP -c -o $@ $<

# ---- what people come for ----

# Lists are separated by commas: make bench WORKLOADS=a,c THREADS=1,2 DURABILITY=none,sync
bench: deps-bench ## measure all engines on YCSB A-F and write a report
	@$(MAKE) --silent -j2 all
	@harness/kvbench bench $(bench_options)
bench_options = $(foreach v,engines workloads records value threads durability profile out,$\
	$(if $($(call upper,$v)),--$v $($(call upper,$v))))
upper = $(shell echo $(1) | tr a-z A-Z)

test: deps-test ## build and run all tests
	@$(MAKE) --silent -j2 tests
	@$(MAKE) run-tests
run-tests:
	@harness/tools/run_tests.sh $(test_programs)

# Of the reference until make start-N; from then on of the learner's own code.
sprint-%: deps-test ## build, test and bench one sprint, or grade yours: make sprint-1
	@$(learn_sh) sprint $*; code=$$?; [ $$code -eq 5 ] || exit $$code; \
	$(MAKE) $(firstword $(wildcard sprint-$*-*))/all $(firstword $(wildcard sprint-$*-*))/test && \
	$(MAKE) $(firstword $(wildcard sprint-$*-*))/bench && $(MAKE) vm-sprint-$* && $(learn_sh) teaches $*

# ---- checks ----

asan: deps-test ## tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) B=asan --silent -j2 tests
	@LSAN_OPTIONS=suppressions=harness/tests/lsan.supp:print_suppressions=0 $(MAKE) B=asan run-tests
ubsan: deps-test ## tests under UndefinedBehaviorSanitizer alone
	@$(MAKE) B=ubsan --silent -j2 tests
	@$(MAKE) B=ubsan run-tests
# A large batch holds more locks at once, in order, than the detector of deadlocks can count.
tsan_options := detect_deadlocks=0
tsan: deps-test ## tests under ThreadSanitizer
	@$(MAKE) B=tsan --silent -j2 tests
	@TSAN_OPTIONS="suppressions=harness/tests/tsan.supp $(tsan_options)" $(MAKE) B=tsan run-tests
valgrind: deps-valgrind ## tests under Valgrind's memcheck
	@$(MAKE) --silent -j2 tests
	@RUNNER="valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect,possible --errors-for-leak-kinds=definite,indirect --suppressions=harness/tests/valgrind.supp" \
		$(MAKE) run-tests
test-arm64: deps-arm64 ## cross-build for arm64 and run the tests under qemu-user
	@harness/tools/test_arm64.sh
lint: deps-lint ## format, warnings of gcc and clang, analyzers, directions of includes
	@harness/tools/lint.sh
coverage: deps-test ## lines that the tests reach, a file a line
	@$(MAKE) B=coverage --silent -j2 tests
	@$(MAKE) B=coverage run-tests
	@harness/tools/coverage.sh $(BUILD)/coverage
fuzz: deps-fuzz ## libFuzzer on what reads from disk: FUZZ_SECONDS=60 a target
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) BUILD=$(BUILD) harness/tools/fuzz.sh
torture: deps-test ## hours of random histories: KV_TORTURE=seconds a test program
	@$(MAKE) --silent -j2 tests
	@KV_TORTURE=$${KV_TORTURE:-600} $(MAKE) run-tests

include vm/vm.mk

# ---- looking inside: ENGINE=lmdb WORKLOAD=a RECORDS=100000 ----

ENGINE   ?= lmdb
WORKLOAD ?= a
run_one   = --engine $(ENGINE) --workload $(WORKLOAD) -p recordcount=$(or $(RECORDS),$(1)) \
	    -p operationcount=$(or $(RECORDS),$(1))
perf: deps-perf ## perf stat and a flame graph of ENGINE on WORKLOAD
	@$(MAKE) --silent -j2 all
	@harness/tools/perf.sh $(BUILD)/perf $(call run_one,500000)
massif: deps-valgrind ## the heap of ENGINE on WORKLOAD over time
	@$(MAKE) --silent -j2 all
	valgrind --tool=massif --massif-out-file=$(BUILD)/massif.out harness/kvbench run $(call run_one,20000)
	ms_print $(BUILD)/massif.out | head -60
cachegrind: deps-valgrind ## simulated caches of ENGINE on WORKLOAD
	@$(MAKE) --silent -j2 all
	valgrind --tool=cachegrind --cachegrind-out-file=$(BUILD)/cachegrind.out harness/kvbench run $(call run_one,20000)
	cg_annotate $(BUILD)/cachegrind.out | head -60

deps-%:
	@harness/deps.sh $*
help: ## this list
	@sed -n 's/^\([a-z0-9%-]*\):.* ## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
		awk -F'|' '{ printf "  make %-11s %s\n", $$1, $$2 }'
	@echo "Variables of bench: PROFILE=quick|standard|publish ENGINES= WORKLOADS= RECORDS= VALUE= THREADS= DURABILITY= OUT="
	@echo "Set-up of packages: DEPS=skip does none, DEPS=required leaves out optional peers"
clean: ## remove what was built
	rm -rf $(BUILD) $(h_programs:%=harness/%)

.DEFAULT_GOAL := help
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all tests bench test run-tests harness/tests harness/test asan ubsan tsan valgrind test-arm64 lint \
	coverage fuzz torture perf massif cachegrind help clean always $(h_programs:%=harness/%)
-include $(shell find $(O) -name '*.d' 2>/dev/null)
