s2_src   := env.c env_posix.c epoch.c log.c log_format.c log_segment.c log_recover.c \
	    hash_function.c neon_hash.c hash_table.c hash_table_chaining.c hash_table_linear.c \
	    hash_table_robin_hood.c hash_table_cuckoo.c hash_table_swiss.c hash_index.c \
	    hash_engine.c hash_read.c hash_write.c hash_snapshot.c hash_clean.c \
	    hash_checkpoint.c hash_recover.c hash_backup.c
s2_tests := epoch_tests hash_table_tests hash_table_thread_tests hash_function_tests hash_quality_tests hash_tests
s2_bench := hash_table_bench hash_function_bench
