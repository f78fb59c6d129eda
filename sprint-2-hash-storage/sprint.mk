s2_src   := env.c env_posix.c env_uring.c env_memory.c env_memory_file.c epoch.c \
	    log.c log_room.c log_read.c log_format.c log_segment.c log_recover.c log_raw.c log_owner.c \
	    hash_function.c neon_hash.c hash_table.c hash_table_chaining.c hash_table_linear.c \
	    hash_table_robin_hood.c hash_table_cuckoo.c hash_table_swiss.c hash_index.c hash_pool.c \
	    hash_engine.c hash_read.c hash_write.c hash_snapshot.c hash_clean.c \
	    hash_checkpoint.c hash_recover.c hash_backup.c hash_evict.c hash_format.c \
	    hash_files.c hash_survey.c hash_check.c hash_dump.c hash_salvage.c
s2_bench := hash_table_bench hash_function_bench hash_bench env_bench
s2_dir   := $(O)/sprint-2-hash-storage/tests

# Tests without a disk, or with the machine's own.
s2_tests := epoch_tests hash_table_tests hash_table_thread_tests hash_function_tests hash_quality_tests \
	    hash_index_tests hash_pool_tests hash_tests hash_options_tests hash_memory_tests \
	    hash_live_tests hash_race_tests env_uring_tests env_memory_tests hash_evict_tests
# Tests on the simulated disk and scheduler.
s2_sim_tests := env_home_tests env_home_world_tests \
	    env_sim_tests env_sim_fault_tests env_sim_task_tests env_sim_toy_tests \
	    log_tests log_room_tests log_segment_tests log_recovery_tests log_format_tests \
	    hash_corruption_tests hash_fault_tests hash_space_tests hash_limit_tests \
	    hash_golden_tests hash_compact_tests hash_check_tests hash_salvage_tests
s2_sim   := $(patsubst %,$(s2_dir)/%.o,env_sim env_sim_disk env_sim_file env_sim_name env_sim_map \
	    env_sim_task env_sim_lock env_sim_follow env_sim_crash env_sim_choose env_sim_explore)
s2_tests += $(s2_sim_tests)
$(s2_sim_tests:%=$(s2_dir)/%): $(s2_sim)
# What every engine's files are judged by; and stores to be damaged, of engines with an order.
s2_judge := $(s2_dir)/kv_judge.o
s2_story := $(s2_judge) $(s2_dir)/kv_story.o
s2_damage := $(s2_story) $(s2_dir)/kv_damage.o
$(s2_dir)/hash_check_tests $(s2_dir)/hash_salvage_tests: $(s2_judge)

# The crash test of every persistent engine, and the tests of that test: planted mistakes.
s2_crash := $(s2_sim) $(patsubst %,$(s2_dir)/%.o,kv_crash kv_crash_history kv_crash_model)
s2_crash_suite := $(s2_dir)/kv_crash_suite.o
s2_wrapped := log_record_crc log_id log_append log_sync log_sync_later log_segment_end log_segment_discard \
	    log_retire log_scan log_open hash_write hash_checkpoint_write hash_index_remove
s2_tests += hash_crash_tests hash_mutant_tests
$(s2_dir)/hash_crash_tests: $(s2_crash) $(s2_crash_suite)
$(s2_dir)/hash_mutant_tests: $(s2_crash) $(s2_dir)/env_liar.o
$(s2_dir)/hash_mutant_tests: private EXTRA_LDFLAGS += $(s2_wrapped:%=-Wl,--wrap=%)

# A file system that can't read past its cache.
$(s2_dir)/env_home_tests: private EXTRA_LDFLAGS += -Wl,--wrap=open -Wl,--wrap=pread

# The system's calls that fail on order in the tests of env_uring.c.
s2_uring_wrapped := io_uring_queue_init_params io_uring_queue_exit io_uring_get_probe_ring \
	    io_uring_submit_and_wait fdatasync
$(s2_dir)/env_uring_tests: private EXTRA_LDFLAGS += $(if $(URING),$(s2_uring_wrapped:%=-Wl,--wrap=%))

# Fuzz targets: each is a test without a fuzzer, a fuzzer with libFuzzer's main, and what
# writes its first inputs. See make fuzz.
s2_fuzz  := log_fuzz index_fuzz store_fuzz
s2_fuzz_obj := $(s2_sim) $(s2_dir)/fuzz.o $(s2_dir)/hash_fuzz.o
s2_fuzz_link := $(s2_fuzz_obj) $(O)/sprint-1-core-memory/port_fault.o $(O)/libs2.a $(O)/libs1.a
s2_tests += $(s2_fuzz:%=%_tests)
$(s2_fuzz:%=$(s2_dir)/%_tests): %_tests: %.o $(s2_fuzz_obj)
$(s2_fuzz:%=$(s2_dir)/%): %: %.o $(s2_fuzz_link)
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ $(EXTRA_LDFLAGS) $(own_libs)
$(s2_fuzz:%=$(s2_dir)/%_corpus): %_corpus: %.o $(s2_dir)/fuzz_corpus.o $(s2_fuzz_link)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(EXTRA_LDFLAGS) $(own_libs)

# Graders of exercises that need the simulated disk.
s2_sim_checks := 2.5-log-record 2.6-group-commit 2.7-compaction
$(s2_sim_checks:%=$(O)/sprint-2-hash-storage/exercises/%/check): $(s2_sim)
