//! Mergeable summaries: update, merge, subtract, encode. Integers only, so that merging is exact.
