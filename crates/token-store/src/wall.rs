//! The PIN wall.
