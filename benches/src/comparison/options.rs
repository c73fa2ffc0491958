//! The part of the command line that the benches share.

use std::path::PathBuf;

use clap::Args;

/// Who is compared, and where the results go.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only peers whose name contains this; may be repeated. Ours and the baseline are always there
    #[arg(long, value_name = "NAME")]
    pub peer: Vec<String>,
    /// The peer that the others are compared with
    #[arg(long, value_name = "NAME", default_value = "mimalloc2")]
    pub baseline: String,
    /// Where to write all numbers, instead of a file of the bench's name in bench/ of the target directory
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where to draw the ratios, instead of a file of the bench's name in bench/ of the target directory
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    /// Whether a peer takes part.
    pub fn wants(&self, peer: &str) -> bool {
        self.peer.is_empty()
            || peer == self.baseline
            || self.peer.iter().any(|part| peer.contains(part.as_str()))
    }

    /// The number of the peer that the others are compared with: the one that `--baseline` names; if that is missing,
    /// another of the same first letters; at last whichever is not `ours`. Says so on standard error.
    ///
    /// # Errors
    /// When there is no peer beside ours.
    pub fn baseline_among(&self, peers: &[String], ours: usize) -> Result<usize, String> {
        if let Some(found) = peers.iter().position(|peer| *peer == self.baseline) {
            return Ok(found);
        }
        let family = self
            .baseline
            .trim_end_matches(|letter: char| !letter.is_alphabetic());
        let others = || (0..peers.len()).filter(|&peer| peer != ours);
        let found = others()
            .find(|&peer| peers[peer].starts_with(family))
            .or_else(|| others().next())
            .ok_or("there is no peer to compare with")?;
        eprintln!(
            "no peer is called {}: the baseline is {}",
            self.baseline, peers[found]
        );
        Ok(found)
    }
}

/// Whether `--row NAME` or its like means this row: the name, or its beginning up to a hyphen.
pub fn is_called(row: &str, name: &str) -> bool {
    let rest = row.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(peer: &[&str]) -> Options {
        Options {
            peer: peer.iter().map(|&peer| peer.to_owned()).collect(),
            baseline: "mimalloc2".to_owned(),
            json: None,
            svg: None,
            bench: false,
        }
    }

    #[test]
    fn the_baseline_always_takes_part() {
        assert!(options(&[]).wants("glibc"));
        assert!(options(&["jem"]).wants("jemalloc"));
        assert!(options(&["jem"]).wants("mimalloc2"));
        assert!(!options(&["jem"]).wants("glibc"));
    }

    #[test]
    fn another_baseline_is_found_when_it_is_missing() {
        let among = |peers: &[&str]| {
            let peers: Vec<_> = peers.iter().map(|&peer| peer.to_owned()).collect();
            options(&[]).baseline_among(&peers, 0)
        };
        assert_eq!(among(&["ours", "glibc", "mimalloc2"]), Ok(2));
        assert_eq!(among(&["ours", "glibc", "mimalloc-deb"]), Ok(2));
        assert_eq!(among(&["ours", "glibc"]), Ok(1));
        assert!(among(&["ours"]).is_err());
    }

    #[test]
    fn a_name_means_a_row_or_a_group() {
        assert!(is_called("pair-16", "pair-16"));
        assert!(is_called("pair-16", "pair"));
        assert!(!is_called("pair-16", "pair-1"));
    }
}
