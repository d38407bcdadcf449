//! Tests that cross crates.

mod bit_products;
mod channel_parts;
mod chunks;
mod deep_products;
mod deployed;
mod determinism;
mod event_files;
mod fan_out;
mod faults;
mod fusion;
mod half_batches;
mod host_executor;
mod kernel_plans;
mod matlab;
mod memory;
mod method;
mod nested;
mod observed;
mod packed_files;
mod plane_groups;
mod queued;
mod resident;
mod sources;
mod steps;
mod updates;
mod witnesses;
