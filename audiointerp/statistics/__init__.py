"""Tests, effect sizes, group bootstrap and permutation: pure functions of arrays."""
