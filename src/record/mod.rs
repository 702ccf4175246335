//! The Arrow schema of an inference record, and batches of them.
