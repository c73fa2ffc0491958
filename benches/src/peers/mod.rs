//! The allocators that are compared, one file each.

mod allotment;
mod buddy_system;
mod dlmalloc;
mod linked_list;
mod rlsf;
mod talc;

pub use self::allotment::{Allotment, AllotmentUnsized};
pub use self::buddy_system::BuddySystem;
pub use self::dlmalloc::Dlmalloc;
pub use self::linked_list::LinkedList;
pub use self::rlsf::{RlsfLarge, RlsfSmall};
pub use self::talc::Talc;

use crate::peer::Peer;

/// Something to be done with every peer's type.
pub trait Visitor {
    /// Called once per peer, ours first.
    fn visit<P: Peer>(&mut self);
}

/// Shows the visitor every peer, ours first.
pub fn visit_all(visitor: &mut impl Visitor) {
    visitor.visit::<Allotment>();
    visitor.visit::<AllotmentUnsized>();
    visitor.visit::<Talc>();
    visitor.visit::<RlsfSmall>();
    visitor.visit::<RlsfLarge>();
    visitor.visit::<Dlmalloc>();
    visitor.visit::<LinkedList>();
    visitor.visit::<BuddySystem>();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Op;
    use crate::player::{OutOfMemory, Player};
    use crate::region::Region;
    use crate::workload::WORKLOADS;

    /// Plays a short piece of every workload and looks at the blocks that are live at its end.
    struct Soundness;

    impl Visitor for Soundness {
        fn visit<P: Peer>(&mut self) {
            let mut region = Region::map(64 << 20).unwrap();
            for workload in WORKLOADS {
                let script = workload.script(2000, 7);
                let slots = Op::slots(script.warm_up.iter().chain(&script.measured));
                let range = region.start().addr()..region.start().addr() + region.len();
                let mut player = Player::<P>::new(&mut region, slots);
                assert_eq!(
                    player.play(&script.warm_up),
                    Ok(()),
                    "{} on {}",
                    P::NAME,
                    workload.name
                );
                assert_eq!(
                    player.play(&script.measured),
                    Ok(()),
                    "{} on {}",
                    P::NAME,
                    workload.name
                );
                let mut live: Vec<_> = player
                    .slots()
                    .iter()
                    .filter(|slot| !slot.ptr.is_null())
                    .collect();
                live.sort_by_key(|slot| slot.ptr.addr());
                for slot in &live {
                    assert!(
                        slot.ptr.addr().is_multiple_of(1 << slot.align_log2),
                        "{}: {slot:?}",
                        P::NAME
                    );
                    assert!(range.contains(&slot.ptr.addr()), "{}: {slot:?}", P::NAME);
                    assert!(
                        slot.ptr.addr() + slot.size as usize <= range.end,
                        "{}: {slot:?}",
                        P::NAME
                    );
                }
                for pair in live.windows(2) {
                    let end = pair[0].ptr.addr() + pair[0].size as usize;
                    assert!(end <= pair[1].ptr.addr(), "{}: {pair:?} overlap", P::NAME);
                }
            }
        }
    }

    #[test]
    fn every_peer_is_sound_on_every_workload() {
        visit_all(&mut Soundness);
    }

    /// Asks for more and more until nothing is left.
    struct Exhaustion;

    impl Visitor for Exhaustion {
        fn visit<P: Peer>(&mut self) {
            let mut region = Region::map(1 << 20).unwrap();
            let mut player = Player::<P>::new(&mut region, 2000);
            let ops: Vec<Op> = (0..2000)
                .map(|slot| Op::Allocate {
                    slot,
                    size: 1000,
                    align_log2: 3,
                })
                .collect();
            assert_eq!(player.play(&ops), Err(OutOfMemory), "{}", P::NAME);
            let live = player
                .slots()
                .iter()
                .filter(|slot| !slot.ptr.is_null())
                .count();
            assert!(
                (700..1049).contains(&live),
                "{} serves {live} blocks of 1000 bytes from 1 MiB",
                P::NAME
            );
        }
    }

    #[test]
    fn every_peer_reports_that_its_region_is_full() {
        visit_all(&mut Exhaustion);
    }
}
