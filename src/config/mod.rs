//! Configuration: raw → validated, all errors at once.
