//! Tests of the crate as others use it.

mod bad_descriptions;
mod bad_files;
mod memory;
mod network;
mod support;
