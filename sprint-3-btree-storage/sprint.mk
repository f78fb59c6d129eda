# A part a line, so that each can be found.
s3_node  := btree_search.c btree_node.c btree_node_search.c btree_node_split.c btree_node_check.c
s3_src   := $(s3_node)
s3_tests :=
s3_bench :=
