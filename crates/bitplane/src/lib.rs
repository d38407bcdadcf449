//! The program `bitplane`: settings, models, runs, checkpoints and reports around the crates that do the work.
//!
//! `main` parses the command line ([`cli`]) and runs one verb ([`commands`]); every failure is a [`exit::Failure`] with
//! its exit code. [`trainer`] is the training loop; what a run leaves behind is written by [`run`], [`store`] and
//! [`checkpoint`] through [`storage`]. [`models`] has one file per network. The library part exists for `xtask` and tests.

pub mod average_bits;
pub mod batches;
pub mod bit_masks;
pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod complexity;
pub mod config;
pub mod cut;
pub mod dataset;
pub mod engine;
pub mod evaluation;
pub mod exit;
pub mod fault;
pub mod fetch;
pub mod flexnet;
pub mod grid;
pub mod identity;
pub mod initial;
pub mod kernel_choice;
pub mod learned_bits;
pub mod lock;
pub mod manifest;
pub mod memory;
pub mod method;
pub mod models;
pub mod output;
pub mod packed_network;
pub mod plateau;
pub mod plot;
pub mod position;
pub mod preprocess;
pub mod progress;
pub mod recovery;
pub mod report;
pub mod retraining;
pub mod run;
pub mod schedule;
pub mod settings;
pub mod signal;
pub mod spread;
pub mod statistics;
pub mod storage;
pub mod store;
pub mod structure;
pub mod sweep;
pub mod teacher;
pub mod tensorboard;
pub mod trainer;
pub mod tuner;
