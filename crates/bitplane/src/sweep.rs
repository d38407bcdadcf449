//! Sweeps: a plan of trainings, run point by point, and the tables that come of them.
//!
//! A [`plan`] names its points. Each point is one training in a run folder of its own ([`folder`]) by a process of its own
//! ([`child`]), so that whatever ends one training leaves the others alone; [`runner`] hands the points out. What is measured is
//! always read back from the run folders ([`results`]), so that it does not matter which process trained what, or when, and is
//! written as tables and pictures ([`tables`], [`picture`], [`average_picture`]) after every point.

pub mod average_picture;
pub mod child;
pub mod folder;
pub mod picture;
pub mod plan;
pub mod plans;
pub mod point;
pub mod results;
pub mod runner;
pub mod shard;
pub mod source;
pub mod tables;
