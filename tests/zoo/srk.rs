//! Storage root keys as others leave them.
