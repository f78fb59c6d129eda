s1_src   := kv.c kv_inspect.c name_distance.c port_memory.c port_range.c port_crc32c.c arena.c dynarray.c chain.c layout.c array_engine.c
s1_tests := port_tests core_tests chain_tests layout_tests vec128_tests kv_tests kv_call_tests array_tests array_history_tests array_fault_tests conformance_tests \
	    device_frame_tests device_fuzz_tests
s1_bench := core_bench
$(O)/sprint-1-core-memory/tests/conformance_tests: \
	$(patsubst %,$(O)/sprint-1-core-memory/tests/mutant_%.o,engine write cursor)
