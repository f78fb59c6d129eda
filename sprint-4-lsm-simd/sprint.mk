# A part a line, so that each can be found.
s4_memory  := neon_lsm_ops.c lsm_tombstones.c lsm_slab.c lsm_cache.c lsm_arena.c lsm_skiplist.c lsm_memtable.c lsm_records.c lsm_records_shard.c
s4_table   := sst_format.c sst_lz4.c sst_block.c sst_tally.c sst_builder.c sst_table.c sst_read.c sst_cursor.c \
	      sst_verify.c sst_dump.c
s4_version := lsm_edit.c lsm_manifest.c lsm_state.c lsm_version.c lsm_run.c lsm_versions.c lsm_versions_open.c \
	      lsm_blob_builder.c lsm_blob.c lsm_picker.c lsm_pick.c lsm_pick_merge.c lsm_pick_table.c
s4_work    := lsm_merge.c lsm_keep.c lsm_output.c lsm_flush.c lsm_compaction.c
s4_engine  := lsm_storage_engine.c lsm_write.c lsm_view.c lsm_read.c lsm_scan.c lsm_snapshot.c lsm_background.c \
	      lsm_recover.c lsm_identity.c lsm_backup.c lsm_check.c lsm_stats.c lsm_reserve.c
s4_files   := lsm_files.c lsm_files_log.c lsm_files_check.c lsm_files_dump.c lsm_files_salvage.c
s4_src     := $(s4_memory) $(s4_table) $(s4_version) $(s4_work) $(s4_engine) $(s4_files)
s4_dir     := $(O)/sprint-4-lsm-simd/tests

# Tests without a disk, or with the machine's own.
s4_memory_tests := neon_lsm_tests lsm_tombstones_tests lsm_slab_tests lsm_cache_tests lsm_skiplist_tests lsm_memtable_tests lsm_records_tests
s4_table_tests  := sst_thread_tests
s4_work_tests   := lsm_merge_tests lsm_keep_tests
s4_engine_tests := lsm_tests lsm_options_tests lsm_live_tests lsm_race_tests lsm_soak_tests lsm_format_tests
s4_tests := $(s4_engine_tests) $(s4_memory_tests) $(s4_table_tests) $(s4_work_tests)

# Tests on the simulated disk and scheduler.
s4_table_sim_tests   := sst_block_tests sst_tests sst_refusal_tests sst_reading_tests sst_fault_tests sst_corruption_tests
s4_version_sim_tests := lsm_picker_tests lsm_versions_tests lsm_versions_fault_tests lsm_edit_tests lsm_blob_tests
s4_work_sim_tests    := lsm_compaction_tests lsm_work_fault_tests lsm_settle_tests
s4_engine_sim_tests  := lsm_files_tests lsm_background_tests lsm_fault_tests lsm_space_tests lsm_corruption_tests lsm_golden_tests lsm_memory_tests
s4_sim_tests := $(s4_table_sim_tests) $(s4_version_sim_tests) $(s4_work_sim_tests) $(s4_engine_sim_tests)
s4_tests += $(s4_sim_tests)
$(s4_sim_tests:%=$(s4_dir)/%): $(s2_sim)
$(s4_dir)/lsm_files_tests: $(s2_story)
$(s4_dir)/lsm_corruption_tests: $(s2_damage)
$(s4_dir)/lsm_options_tests: $(s2_sim)
$(s4_dir)/lsm_options_tests: private EXTRA_LDFLAGS += -Wl,--wrap=sst_can_lz4
$(s4_dir)/lsm_background_tests: private EXTRA_LDFLAGS += -Wl,--wrap=lsm_versions_commit

# The crash test, and the tests of that test: planted mistakes.
s4_crash_tests := lsm_crash_tests lsm_moment_tests lsm_mutant_tests
s4_wrapped := log_record_crc log_id log_append log_sync log_sync_from log_sync_later log_segment_end log_segment_discard \
	    log_open log_close lsm_write lsm_memtable_insert lsm_view_make_ahead lsm_flush lsm_compact lsm_output \
	    lsm_keep_tombstone lsm_snapshot_list lsm_blob_builder_add lsm_versions_commit \
	    lsm_versions_create lsm_versions_write_whole
s4_tests += $(s4_crash_tests)
$(s4_crash_tests:%=$(s4_dir)/%): $(s2_crash)
$(s4_dir)/lsm_crash_tests: $(s2_crash_suite)
$(s4_dir)/lsm_mutant_tests: $(s2_dir)/env_liar.o
$(s4_dir)/lsm_mutant_tests: private EXTRA_LDFLAGS += $(s4_wrapped:%=-Wl,--wrap=%)

s4_bench := lsm_memory_bench lsm_merge_bench sst_bench lsm_draw storage_benchmarks

# Blocks, tables and the manifest as fuzz targets: see s2_fuzz.
s4_table_fuzz := sst_block_fuzz sst_fuzz lsm_manifest_fuzz
s4_table_fuzz_obj := $(s2_sim) $(O)/sprint-2-hash-storage/tests/fuzz.o
s4_table_fuzz_link := $(s4_table_fuzz_obj) $(O)/sprint-1-core-memory/port_fault.o $(O)/libs4.a $(O)/libs2.a $(O)/libs1.a
s4_tests += $(s4_table_fuzz:%=%_tests)
$(s4_table_fuzz:%=$(s4_dir)/%_tests): %_tests: %.o $(s4_table_fuzz_obj)
$(s4_table_fuzz:%=$(s4_dir)/%): %: %.o $(s4_table_fuzz_link)
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ $(EXTRA_LDFLAGS) $(own_libs)
$(s4_table_fuzz:%=$(s4_dir)/%_corpus): %_corpus: %.o $(O)/sprint-2-hash-storage/tests/fuzz_corpus.o $(s4_table_fuzz_link)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(EXTRA_LDFLAGS) $(own_libs)

# Graders of exercises that need the simulated disk.
s4_sim_checks := 4.4-table 4.6-manifest
$(s4_sim_checks:%=$(O)/sprint-4-lsm-simd/exercises/%/check): $(s2_sim)
