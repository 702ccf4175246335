//! Tests of this name; see the module itself.
