# A part a line, so that each can be found.
s3_src   := btree_search.c
s3_tests :=
s3_bench :=
