//! What a run did, for people and for machines.

use core::fmt::{self, Write};
use std::borrow::Cow;

use allotment_core::Stats;

use crate::size::Size;

/// The figures of one process at one moment.
///
/// Sizes are bytes. Counts begin at the process's start, or at the fork that made it. Writing it
/// does not allocate.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct Report<'a> {
    /// The process.
    pub pid: u32,
    /// The program's name.
    pub program: Cow<'a, str>,
    /// What the pool's memory is: `anonymous memory`, `file /path`, `temporary file in /dir`,
    /// `device /dev/dax0.0`, and where that is another process's, `anonymous memory instead of
    /// /dev/dax0.0`.
    pub backing: Cow<'a, str>,
    /// Length of the pool's region.
    pub region_bytes: usize,
    /// What the allocator's own header takes.
    pub overhead_bytes: usize,
    /// Allocated blocks, with their headers.
    pub used_bytes: usize,
    /// Free blocks.
    pub free_bytes: usize,
    /// The highest `used_bytes` so far.
    pub peak_bytes: usize,
    /// The largest size that an allocation would be granted.
    pub largest_free: usize,
    /// `1 - largest_free / free_bytes`, from 0.0 to 1.0.
    pub fragmentation: f32,
    /// Blocks allocated now.
    pub live_blocks: usize,
    /// Blocks handed out.
    pub allocations: usize,
    /// Blocks taken back.
    pub deallocations: usize,
    /// Reallocations.
    pub reallocations: usize,
    /// Requests that failed for want of memory.
    pub failures: usize,
    /// Nanoseconds since the counts began.
    pub elapsed_ns: u64,
    /// Allocations, deallocations and reallocations a second.
    pub calls_per_second: u64,
}

impl<'a> Report<'a> {
    /// Puts a report together.
    #[must_use]
    pub fn new(
        pid: u32,
        program: impl Into<Cow<'a, str>>,
        backing: impl Into<Cow<'a, str>>,
        stats: &Stats,
        elapsed_ns: u64,
    ) -> Report<'a> {
        let calls =
            stats.allocations as u128 + stats.deallocations as u128 + stats.reallocations as u128;
        let per_second = calls * 1_000_000_000 / u128::from(elapsed_ns.max(1));
        Report {
            pid,
            program: program.into(),
            backing: backing.into(),
            region_bytes: stats.region_bytes,
            overhead_bytes: stats.overhead_bytes,
            used_bytes: stats.used_bytes,
            free_bytes: stats.free_bytes,
            peak_bytes: stats.peak_bytes,
            largest_free: stats.largest_free,
            fragmentation: stats.fragmentation(),
            live_blocks: stats.live_blocks,
            allocations: stats.allocations,
            deallocations: stats.deallocations,
            reallocations: stats.reallocations,
            failures: stats.failures,
            elapsed_ns,
            calls_per_second: u64::try_from(per_second).unwrap_or(u64::MAX),
        }
    }

    /// Writes the report as one JSON object on one line, without the line's end.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, out: &mut impl Write) -> fmt::Result {
        write!(out, "{{\"pid\":{},\"program\":", self.pid)?;
        write_json_string(out, &self.program)?;
        out.write_str(",\"backing\":")?;
        write_json_string(out, &self.backing)?;
        for (name, value) in [
            ("region_bytes", self.region_bytes),
            ("overhead_bytes", self.overhead_bytes),
            ("used_bytes", self.used_bytes),
            ("free_bytes", self.free_bytes),
            ("peak_bytes", self.peak_bytes),
            ("largest_free", self.largest_free),
        ] {
            write!(out, ",\"{name}\":{value}")?;
        }
        write!(out, ",\"fragmentation\":{:.6}", self.fragmentation)?;
        for (name, value) in [
            ("live_blocks", self.live_blocks),
            ("allocations", self.allocations),
            ("deallocations", self.deallocations),
            ("reallocations", self.reallocations),
            ("failures", self.failures),
        ] {
            write!(out, ",\"{name}\":{value}")?;
        }
        write!(
            out,
            ",\"elapsed_ns\":{},\"calls_per_second\":{}}}",
            self.elapsed_ns, self.calls_per_second
        )
    }

    /// Writes the report as a table of several lines.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_table(&self, out: &mut impl Write) -> fmt::Result {
        writeln!(
            out,
            "allotment: {} (process {})",
            Printable(&self.program),
            self.pid
        )?;
        writeln!(
            out,
            "  pool              {:>14}   {}",
            Size(self.region_bytes),
            Printable(&self.backing)
        )?;
        writeln!(out, "  peak              {:>14}", Size(self.peak_bytes))?;
        writeln!(
            out,
            "  live              {:>14}   in {} block{}",
            Size(self.used_bytes),
            Thousands(self.live_blocks as u64),
            if self.live_blocks == 1 { "" } else { "s" },
        )?;
        writeln!(out, "  free              {:>14}", Size(self.free_bytes))?;
        writeln!(out, "  largest free      {:>14}", Size(self.largest_free))?;
        writeln!(
            out,
            "  fragmentation     {:>12.1} %",
            self.fragmentation * 100.0
        )?;
        writeln!(out, "  allocator's own   {:>14}", Size(self.overhead_bytes))?;
        writeln!(
            out,
            "  allocations       {:>14}",
            Thousands(self.allocations as u64)
        )?;
        writeln!(
            out,
            "  deallocations     {:>14}",
            Thousands(self.deallocations as u64)
        )?;
        writeln!(
            out,
            "  reallocations     {:>14}",
            Thousands(self.reallocations as u64)
        )?;
        writeln!(
            out,
            "  failures          {:>14}",
            Thousands(self.failures as u64)
        )?;
        writeln!(
            out,
            "  elapsed           {:>12.3} s",
            self.elapsed_ns as f64 / 1e9
        )?;
        writeln!(
            out,
            "  calls per second  {:>14}",
            Thousands(self.calls_per_second)
        )
    }
}

/// Writes a string with its quotes, escaped as JSON wants it (RFC 8259).
fn write_json_string(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if u32::from(c) < 0x20 => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

/// Text for a terminal: control characters are escaped.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?
            } else {
                f.write_char(c)?
            }
        }
        Ok(())
    }
}

/// A count with its digits in groups of three.
struct Thousands(u64);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 20 digits and 6 commas at most.
        let mut text = [0u8; 26];
        let mut at = text.len();
        let mut rest = self.0;
        let mut digits = 0;
        loop {
            if digits > 0 && digits % 3 == 0 {
                at -= 1;
                text[at] = b',';
            }
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            digits += 1;
            if rest == 0 {
                break;
            }
        }
        f.pad(core::str::from_utf8(&text[at..]).unwrap_or("?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report<'static> {
        Report {
            pid: 42,
            program: "a\"b\\\n\u{1}é".into(),
            backing: "anonymous memory".into(),
            region_bytes: 1 << 30,
            overhead_bytes: 2048,
            used_bytes: 1536,
            free_bytes: 3,
            peak_bytes: 4,
            largest_free: 5,
            fragmentation: 0.25,
            live_blocks: 1,
            allocations: 1_234_567,
            deallocations: 999,
            reallocations: 1000,
            failures: 0,
            elapsed_ns: 1_500_000_000,
            calls_per_second: 824_377,
        }
    }

    #[test]
    fn json_is_one_escaped_line() {
        let mut text = String::new();
        report().write_json(&mut text).unwrap();
        assert_eq!(
            text,
            "{\"pid\":42,\"program\":\"a\\\"b\\\\\\n\\u0001é\",\"backing\":\"anonymous memory\",\
             \"region_bytes\":1073741824,\"overhead_bytes\":2048,\"used_bytes\":1536,\"free_bytes\":3,\
             \"peak_bytes\":4,\"largest_free\":5,\"fragmentation\":0.250000,\"live_blocks\":1,\
             \"allocations\":1234567,\"deallocations\":999,\"reallocations\":1000,\"failures\":0,\
             \"elapsed_ns\":1500000000,\"calls_per_second\":824377}"
        );
    }

    #[cfg(feature = "cli")]
    #[test]
    fn json_reads_back() {
        let mut text = String::new();
        report().write_json(&mut text).unwrap();
        let back: Report<'static> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, report());
    }

    #[test]
    fn table_is_aligned() {
        let mut text = String::new();
        report().write_table(&mut text).unwrap();
        assert!(
            text.starts_with("allotment: a\"b\\\\n\\u{1}é (process 42)\n"),
            "{text}"
        );
        assert!(
            text.contains("\n  pool                       1 GiB   anonymous memory\n"),
            "{text}"
        );
        assert!(
            text.contains("\n  live                     1.5 KiB   in 1 block\n"),
            "{text}"
        );
        assert!(
            text.contains("\n  fragmentation             25.0 %\n"),
            "{text}"
        );
        assert!(
            text.contains("\n  allocations            1,234,567\n"),
            "{text}"
        );
        let column = "  allocations            1,234,567".len();
        for line in text.lines().skip(1) {
            assert!(
                line.len() >= column && !line.as_bytes()[column - 1].is_ascii_whitespace(),
                "{line}"
            );
        }
    }

    #[test]
    fn thousands() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(Thousands(n).to_string(), text);
        }
    }

    #[test]
    fn rate() {
        // `Stats` cannot be made from its fields outside its own crate.
        let mut stats = Stats::default();
        stats.allocations = 10;
        stats.deallocations = 6;
        stats.reallocations = 4;
        assert_eq!(
            Report::new(1, "a", "b", &stats, 2_000_000_000).calls_per_second,
            10
        );
        assert_eq!(
            Report::new(1, "a", "b", &stats, 0).calls_per_second,
            20_000_000_000
        );
    }
}
