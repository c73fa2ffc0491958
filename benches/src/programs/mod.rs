//! Whole programs, each run with the peers preloaded in turns.
//!
//! | module | what it holds |
//! |---|---|
//! | [`program`] | the programs: how each is called, and what for |
//! | [`inputs`] | what some of them read, made from numbers |
//! | [`run`] | what the bench asks a process of its own for: one run, measured |

pub mod inputs;
pub mod program;
pub mod run;
