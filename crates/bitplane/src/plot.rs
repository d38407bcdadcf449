//! Pictures of runs: shapes, charts made of them, and the files that hold them.
//!
//! A [`Picture`] is a list of shapes; [`Picture::svg`] writes it as text, [`Picture::png`] draws it with the
//! font that comes with the program, so that neither needs anything of the machine. [`chart`] lays out panels
//! of lines and bars.

pub mod chart;
mod file;
pub mod font;
mod picture;
mod raster;
pub mod scale;
mod svg;

pub use file::{Format, place, save, write};
pub use picture::{Anchor, Color, Line, PALETTE, Picture, Shape, Stroke, Text};
pub use svg::escaped;
