//! The machine's NUMA nodes, as `/sys` lists them.

use std::fs;
use std::str::FromStr;

const DIRECTORY: &str = "/sys/devices/system/node";

/// Nodes have numbers below this.
pub(super) const MOST: usize = 1024;

/// A set of NUMA nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes(Vec<usize>);

/// A list of nodes that cannot be understood. It is like `0,2-3`, of numbers below 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodesError;

impl core::fmt::Display for NodesError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("not a list of NUMA nodes, such as 0,2-3")
    }
}

impl core::error::Error for NodesError {}

impl FromStr for Nodes {
    type Err = NodesError;

    fn from_str(list: &str) -> Result<Nodes, NodesError> {
        let number = |text: &str| match text.trim().parse::<usize>() {
            Ok(node) if node < MOST => Ok(node),
            _ => Err(NodesError),
        };
        let mut nodes = Vec::new();
        for part in list.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            nodes.extend(first..=last);
        }
        nodes.sort_unstable();
        nodes.dedup();
        Ok(Nodes(nodes))
    }
}

impl Nodes {
    /// The nodes that are in use; node 0 if the system does not say.
    #[must_use]
    pub fn online() -> Nodes {
        Nodes::listed("online").unwrap_or_else(|| Nodes(vec![0]))
    }

    /// The nodes that have processors: those of the machine's regular memory.
    #[must_use]
    pub fn with_processors() -> Nodes {
        Nodes::listed("has_cpu").unwrap_or_else(Nodes::online)
    }

    /// The nodes that have as much memory as any other.
    #[must_use]
    pub fn largest() -> Nodes {
        let online = Nodes::online();
        let most = online.0.iter().map(|&node| memory_of(node)).max();
        let largest = |&node: &usize| Some(memory_of(node)) == most;
        Nodes(online.0.into_iter().filter(largest).collect())
    }

    /// Bytes of memory that these nodes have.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.iter().map(|&node| memory_of(node)).sum()
    }

    /// Whether all of its nodes are in the other set.
    #[must_use]
    pub fn are_among(&self, others: &Nodes) -> bool {
        self.0.iter().all(|node| others.0.contains(node))
    }

    /// Whether there is no node in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn listed(name: &str) -> Option<Nodes> {
        let list = fs::read_to_string(format!("{DIRECTORY}/{name}")).ok()?;
        list.parse().ok().filter(|nodes: &Nodes| !nodes.is_empty())
    }

    /// One bit for each node, as system calls want it.
    pub(super) fn mask(&self) -> [u64; MOST / 64] {
        let mut mask = [0; MOST / 64];
        for &node in &self.0 {
            mask[node / 64] |= 1 << (node % 64);
        }
        mask
    }
}

/// Bytes of memory of a node, 0 if the system does not say.
fn memory_of(node: usize) -> usize {
    fs::read_to_string(format!("{DIRECTORY}/node{node}/meminfo"))
        .ok()
        .and_then(|text| total(&text))
        .unwrap_or(0)
}

fn total(text: &str) -> Option<usize> {
    let line = text.lines().find(|line| line.contains("MemTotal:"))?;
    let kib: usize = line.split_ascii_whitespace().nth(3)?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_understood() {
        assert_eq!("0".parse(), Ok(Nodes(vec![0])));
        assert_eq!("3,0-1\n".parse(), Ok(Nodes(vec![0, 1, 3])));
        assert_eq!("".parse(), Ok(Nodes(vec![])));
        for wrong in ["a", "1-", "1024", "-1", "1;2"] {
            assert_eq!(wrong.parse::<Nodes>(), Err(NodesError), "{wrong}");
        }
        assert!(Nodes(vec![1]).are_among(&Nodes(vec![0, 1])));
        assert!(!Nodes(vec![1, 2]).are_among(&Nodes(vec![0, 1])));
        let mask = Nodes(vec![0, 65]).mask();
        assert_eq!((mask[0], mask[1]), (1, 2));
    }

    #[test]
    fn a_machine_has_nodes_with_memory() {
        assert!(!Nodes::online().is_empty());
        assert!(!Nodes::largest().is_empty());
        let text = "Node 0 MemTotal:       24684084 kB\nNode 0 MemFree: 1 kB\n";
        assert_eq!(total(text), Some(24_684_084 << 10));
    }
}
