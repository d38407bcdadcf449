//! Tests that cross crates.

mod steps;
