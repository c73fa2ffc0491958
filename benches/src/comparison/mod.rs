//! Ours beside its peers: what the benches that compare CPU time and memory row by row have in common.
//!
//! | module | what it holds |
//! |---|---|
//! | [`options`] | the part of the command line that they share |
//! | [`results`] | samples, ratios, means and the best peer of each row |
//! | [`turns`] | the order of the measurements |
//! | [`tables`], [`plot`], [`output`] | the results for people, as a picture and for machines |

pub mod options;
pub mod output;
pub mod plot;
pub mod results;
pub mod tables;
pub mod turns;
