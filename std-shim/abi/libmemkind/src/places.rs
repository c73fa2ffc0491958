//! Where the static kinds' memory is.

use core::ffi::{CStr, c_int};

use allotment::kind::{Kind, KindOptions, Nodes, Placement, free_huge_pages};
use allotment::os_error::OsError;

use crate::code::Code;
use crate::environment;

/// The memory of a static kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nodes with processors.
    Regular,
    /// All nodes in turn.
    Interleave,
    /// Huge pages of the default size.
    HugePages,
    /// Huge pages of 1 GiB: never.
    Gigantic,
    /// The nodes that a variable lists, taken in a manner; [`Place::answers`] what if there is no such
    /// variable.
    Listed(&'static CStr, Manner),
    /// Listed nodes, in huge pages: never.
    ListedHuge,
    /// Listed nodes, in huge pages of 1 GiB: never.
    ListedGigantic,
    /// The nodes with the most memory.
    Largest(Manner),
    /// Those of them that are nearest: known where there is only one node.
    LargestNear(Manner),
    /// The fastest nodes: never.
    Fastest,
}

/// How nodes are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Only these.
    Bind,
    /// These first.
    Prefer,
    /// These in turn.
    Interleave,
}

impl Manner {
    fn of(self, nodes: Nodes) -> Placement {
        match self {
            Manner::Bind => Placement::Bind(nodes),
            Manner::Prefer => Placement::Preferred(nodes),
            Manner::Interleave => Placement::Interleave(nodes),
        }
    }
}

/// Lists the nodes of high bandwidth memory.
pub(crate) const HBW_NODES: &CStr = c"MEMKIND_HBW_NODES";
/// Lists the nodes that are persistent memory.
pub(crate) const DAX_KMEM_NODES: &CStr = c"MEMKIND_DAX_KMEM_NODES";

/// Why there is no memory: the code and `errno`, 0 if that is left alone.
pub(crate) type Refusal = (Code, OsError);

const fn refusal(code: Code, errno: c_int) -> Refusal {
    (code, OsError(errno))
}

impl Place {
    /// The nodes, or the refusal.
    fn nodes(self) -> Result<Nodes, Refusal> {
        match self {
            Place::Regular => Ok(Nodes::with_processors()),
            Place::Interleave => Ok(Nodes::online()),
            Place::HugePages => match free_huge_pages() {
                Some((_, free)) if free > 0 => Ok(Nodes::online()),
                _ => Err(refusal(Code::HugeTlb, 0)),
            },
            Place::Gigantic => Err(refusal(Code::HugeTlb, 0)),
            Place::ListedGigantic => Err(refusal(Code::HugeTlb, libc::EINVAL)),
            Place::Listed(name, _) => {
                let missing = if name == DAX_KMEM_NODES {
                    refusal(Code::Unavailable, libc::ENOENT)
                } else {
                    refusal(Code::MemtypeNotAvailable, libc::EINVAL)
                };
                let list = environment::get(name).ok_or(missing)?;
                let nodes: Result<Nodes, _> = list.to_str().unwrap_or("?").parse();
                nodes
                    .ok()
                    .filter(|nodes| !nodes.is_empty() && nodes.are_among(&Nodes::online()))
                    .ok_or(refusal(Code::Environ, libc::EINVAL))
            }
            Place::Largest(_) => Ok(Nodes::largest()),
            Place::LargestNear(_) if Nodes::online().len() == 1 => Ok(Nodes::online()),
            Place::LargestNear(_) | Place::ListedHuge | Place::Fastest => {
                Err(refusal(Code::MemtypeNotAvailable, libc::EINVAL))
            }
        }
    }

    fn placement(self) -> Result<Placement, Refusal> {
        let nodes = self.nodes()?;
        Ok(match self {
            Place::HugePages => Placement::HugePages,
            Place::Interleave => Placement::Interleave(nodes),
            Place::Listed(_, manner) | Place::Largest(manner) | Place::LargestNear(manner) => {
                manner.of(nodes)
            }
            _ => Placement::Bind(nodes),
        })
    }

    /// Whether there is such memory.
    pub(crate) fn check(self) -> Result<(), Refusal> {
        self.nodes().map(drop)
    }

    /// How much of it the machine has.
    pub(crate) fn capacity(self) -> Option<usize> {
        match self {
            Place::Gigantic => Some(0),
            Place::HugePages => Some(free_huge_pages().map_or(0, |(size, free)| size * free)),
            // As the original, which cannot tell what else will be used.
            Place::Listed(_, Manner::Prefer)
            | Place::Largest(Manner::Prefer)
            | Place::LargestNear(Manner::Prefer) => None,
            _ => self.nodes().ok().map(|nodes| nodes.capacity()),
        }
    }

    /// A kind in this memory.
    pub(crate) fn make(self) -> Option<Kind> {
        let placement = self.placement().ok()?;
        KindOptions::new().anonymous(&placement).ok()
    }
}
