//! The program as its users meet it: every test starts `bitplane` and looks at its exit code, its words and its files.

mod bad_checkpoint;
mod bad_data;
mod bad_device;
mod bad_files;
mod bad_settings;
mod bench;
mod bit_mix;
mod combinations;
mod cut;
mod diverged;
mod fetch;
mod flexnet;
mod group_net;
mod groupnet;
mod histograms;
#[cfg(unix)]
mod hostile_files;
mod initial;
mod learned_bits;
mod method;
mod packed_file;
mod plots;
mod preprocess;
mod reports;
mod resume;
mod server;
mod support;
mod svhn;
mod sweep;
mod teacher;
mod tuning;
