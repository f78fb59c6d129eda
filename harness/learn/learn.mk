# The learning track: what harness/learn/learn.sh does, as make targets, and how the check
# programs of exercises are built. See docs/EXERCISES.md.
learn_sh := BUILD='$(BUILD)' WORK='$(WORK)' harness/learn/learn.sh
WORK     ?= work

# A sprint's check programs: its folder, the libraries that it may see.
define learn_checks
$(O)/$(1)/exercises/%/check: $(O)/$(1)/exercises/%/check.o $(O)/harness/learn/learn.o $(test_obj) $(2:%=$(O)/lib%.a)
	@mkdir -p $$(@D)
	$$(say)LD $$@
	$$(Q)$$(CC) $$(CFLAGS) -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^) $$(EXTRA_LDFLAGS) -lcmocka $(own_libs)
endef
$(eval $(call learn_checks,sprint-1-core-memory,s1))
$(eval $(call learn_checks,sprint-2-hash-storage,s2 s1))
$(eval $(call learn_checks,sprint-3-btree-storage,s3 s2 s1))
$(eval $(call learn_checks,sprint-4-lsm-simd,s4 s2 s1))

# kvbench with the learner's engine, an object that learn.sh made.
$(O)/harness/learn/kvbench-mine: $(O)/harness/kvbench.o $(O)/harness/learn/mine.o $(MINE) $(h_obj) $(engine_libs)
	$(say)LD $@
	$(Q)$(CC) $(CFLAGS) -Wl,--wrap=engines_get -Wl,--wrap=engines_find -o $@ $^ $(LDLIBS)

start: deps-learn ## learn: how the course goes, and the first exercise
	@$(learn_sh) start 1
start-%: deps-learn ## learn: make work/sprint-N with the files to fill in
	@$(learn_sh) start $*
check-exercises: deps-learn ## learn: grade the graders: stubs fail, references pass, wrong ones are caught
	@BUILD='$(BUILD)' harness/learn/check_exercises.sh $(EXERCISES)
check-exercises-arm64: deps-learn deps-arm64 ## learn: the same on arm64, of sprint 1 and what has NEON, under qemu-user
	@BUILD='$(BUILD)' harness/learn/on_arm64.sh harness/learn/check_exercises.sh $(or $(EXERCISES),$(arm64_exercises))
check-kernel-exercises: deps-learn deps-vm ## learn: the same for the exercises of the kernel, in a machine; lab kernel: vm-build KERNEL=lab
	@BUILD='$(BUILD)' KERNELS=1 harness/learn/check_exercises.sh $(EXERCISES)
arm64_exercises := 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 2.1 3.2 4.3
check-%: deps-learn ## learn: grade an exercise (check-1.2) or a sprint (check-1); JSON=1 ARCH=arm64
	@BUILD='$(BUILD)' WORK='$(WORK)' $(if $(filter arm64,$(ARCH)),harness/learn/on_arm64.sh) harness/learn/learn.sh check $*
watch-%: deps-learn ## learn: grade again at each save
	@$(learn_sh) watch $*
hint-%: ## learn: one hint more
	@$(learn_sh) hint $*
diff-%: ## learn: your code beside the reference
	@$(learn_sh) diff $*
reset-%: ## learn: the stub of an exercise again; keeps a backup
	@$(learn_sh) reset $*
take-%: ## learn: the reference's code for an exercise (take-1.8) or a sprint, without points
	@$(learn_sh) take $*
race-%: deps-bench ## learn: your engine against the reference, SQLite and LMDB, with a report
	@RACE_OPTIONS='$(bench_options)' $(learn_sh) race $*
test-races: deps-bench ## learn: race engines built of taken exercises: SPRINTS="2 3 4" RECORDS=2000
	@BUILD='$(BUILD)' harness/learn/test_races.sh $(SPRINTS)
progress: ## learn: what is done, with points and time, and what comes next
	@$(learn_sh) progress
book: deps-book ## all documents as one page, and as PDF
	@BUILD='$(BUILD)' harness/learn/book.sh
check-links: ## follow each link of the documents
	@harness/tools/check_links.sh
test-learn: deps-learn ## learn: test the commands of the learning track themselves
	@BUILD='$(BUILD)' harness/learn/test_learn.sh
check-tutorial: deps-learn ## learn: do what docs/TUTORIAL.md says, and compare
	@harness/learn/replay.sh docs/TUTORIAL.md
.PHONY: start check-exercises check-kernel-exercises check-exercises-arm64 test-learn test-races check-tutorial check-links progress book
