//! The frozen reference that windows are compared with.
