# The engine, a part a line: a page, pages of a file, the tree, the store, its files as they lie.
s3_src   := btree_search.c btree_node.c btree_node_search.c btree_node_split.c btree_node_check.c \
	    btree_pager.c btree_page.c btree_evict.c btree_space.c btree_freed.c \
	    btree_pager_checkpoint.c btree_flush.c btree_free_map.c btree_super.c \
	    btree_core.c btree_operations.c btree_rebalance.c btree_value.c btree_walk.c \
	    btree_engine.c btree_write.c btree_snapshot.c btree_cursor.c btree_checkpoint.c btree_recover.c \
	    btree_bulk.c btree_backup.c btree_compact.c btree_verify.c btree_dump.c \
	    btree_files.c btree_files_tree.c btree_files_log.c btree_files_cover.c \
	    btree_files_check.c btree_files_dump.c btree_files_salvage.c
s3_bench := btree_benchmarks btree_latency btree_node_bench btree_draw
s3_dir   := $(O)/sprint-3-btree-storage/tests

# Tests of a page without files, and tests on the machine's own disk.
s3_tests := btree_search_tests btree_node_tests btree_node_split_tests btree_node_page_tests \
	    btree_node_history_tests \
	    btree_tests btree_options_tests btree_bulk_tests btree_checkpoint_tests btree_verify_tests \
	    btree_budget_tests btree_live_tests btree_race_tests
$(s3_dir)/btree_node_page_tests: $(s3_dir)/btree_node_reader.o
$(s3_dir)/btree_node_history_tests: $(s3_dir)/btree_forest.o
# Tests on the simulated disk and scheduler.
s3_sim_tests := btree_pager_tests btree_super_tests btree_space_tests btree_pager_fault_tests \
	    btree_format_tests btree_golden_tests btree_files_tests \
	    btree_memory_tests btree_fault_tests btree_corruption_tests btree_growth_tests
s3_tests += $(s3_sim_tests)
$(s3_sim_tests:%=$(s3_dir)/%): $(s2_sim)
$(s3_dir)/btree_files_tests: $(s2_story)
$(s3_dir)/btree_corruption_tests: $(s2_damage)

# The crash test, and the tests of that test: planted mistakes.
s3_crash_tests := btree_crash_tests btree_mutant_tests
s3_wrapped := log_record_crc log_id log_append log_sync log_sync_from log_sync_later log_segment_end log_segment_discard \
	    log_open btree_write btree_tree_apply btree_page_free btree_keep_update \
	    btree_checkpoint_begin btree_checkpoint_end btree_super_write btree_free_map_load
s3_tests += $(s3_crash_tests)
$(s3_crash_tests:%=$(s3_dir)/%): $(s2_crash)
$(s3_dir)/btree_crash_tests: $(s2_crash_suite)
$(s3_dir)/btree_mutant_tests: $(s2_dir)/env_liar.o
$(s3_dir)/btree_mutant_tests: private EXTRA_LDFLAGS += $(s3_wrapped:%=-Wl,--wrap=%)

# The node as a fuzz target: see s2_fuzz.
s3_fuzz  := btree_node_fuzz
s3_fuzz_obj := $(s2_dir)/fuzz.o $(s3_dir)/btree_node_reader.o
s3_fuzz_link := $(s3_fuzz_obj) $(O)/sprint-1-core-memory/port_fault.o $(O)/libs3.a $(O)/libs2.a $(O)/libs1.a
s3_tests += $(s3_fuzz:%=%_tests)
$(s3_fuzz:%=$(s3_dir)/%_tests): %_tests: %.o $(s3_fuzz_obj)
$(s3_fuzz:%=$(s3_dir)/%): %: %.o $(s3_fuzz_link)
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ $(EXTRA_LDFLAGS) $(own_libs)
$(s3_fuzz:%=$(s3_dir)/%_corpus): %_corpus: %.o $(s2_dir)/fuzz_corpus.o $(s3_fuzz_link)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(EXTRA_LDFLAGS) $(own_libs)

# Graders of exercises: those on the simulated disk, and those that look over the tree's shoulder.
s3_checks := $(O)/sprint-3-btree-storage/exercises
$(s3_checks)/3.3-split/check: private EXTRA_LDFLAGS += -Wl,--wrap=btree_node_split,--wrap=btree_node_insert
$(s3_checks)/3.4-merge-and-borrow/check: private EXTRA_LDFLAGS += -Wl,--wrap=btree_node_set_child,--wrap=btree_node_remove
$(s3_checks)/3.6-checkpoint/check $(s3_checks)/3.7-recovery/check: $(s2_sim)
$(s3_checks)/3.8-optimistic-reads/check: private EXTRA_LDFLAGS += -Wl,--wrap=btree_node_route,--wrap=btree_node_find
