//! Models of the pool's protocols: loom runs each of them through every order in which the
//! processors may do its steps, as far as the C11 memory model and the bound on preemptions go.
//!
//! What runs is the code that ships: in [`shipped`] the whole pool, in the others the protocols alone
//! ([`crate::slab::remote`], [`crate::slab::map`]). Around these stands only as much of a slab and a
//! local heap as it takes to see whether they did their work ([`slab`]). For each promise there are
//! tests in which one step is replaced by a faulty one ([`planted`], [`Plant`]), which must be found:
//! what a model cannot see fail, it does not show.
//!
//! `docs/models.md` tells what each model shows and what it leaves out.

#![allow(
    clippy::arc_with_non_send_sync,
    reason = "loom's threads take turns in one, so its cells need not be Sync"
)]

mod adoption;
mod check;
mod double_free;
mod give_back;
mod map;
mod map_replaced;
mod planted;
mod pool;
mod refill;
mod remote_free;
mod shipped;
mod slab;

use crate::sync::modelled::{self, Plant, Spare};

/// How far to look. A preemption is a switch to another thread where the one that runs could go on.
#[derive(Clone, Copy)]
enum Search {
    /// All orders with at most so many preemptions, or as many as `LOOM_MAX_PREEMPTIONS` says.
    Preemptions(usize),
    /// The same, whatever the environment says: it suffices to find the bug that is planted.
    Planted(usize),
}

/// Enough for models of a protocol alone.
const FEW: Spare = Spare {
    words: 32,
    cells: 0,
};

/// Runs a model in every order.
fn explore(search: Search, model: impl Fn() + Send + Sync + 'static) {
    explore_with(search, FEW, None, model);
}

/// The same, with so many words and cells, and a bug in what ships.
fn explore_with(
    search: Search,
    spare: Spare,
    bug: Option<Plant>,
    model: impl Fn() + Send + Sync + 'static,
) {
    let mut builder = loom::model::Builder::new();
    match search {
        Search::Preemptions(most) => {
            builder.preemption_bound.get_or_insert(most);
        }
        Search::Planted(most) => builder.preemption_bound = Some(most),
    }
    builder.max_branches = 10_000;
    builder.check(move || {
        modelled::begin(spare, bug);
        model();
    });
}
