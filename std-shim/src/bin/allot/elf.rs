//! The little of an ELF file that decides whether the dynamic loader will read `LD_PRELOAD`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: &[u8; 4] = b"\x7fELF";
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const PT_INTERP: u32 = 3;
/// Longer than any path that the kernel takes for an interpreter.
const INTERPRETER_MAX: u64 = 4096;

/// What sort of program an ELF file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elf {
    /// Class, byte order and machine: two files that differ here cannot share a process.
    pub(crate) architecture: (u8, u8, u16),
    /// The dynamic loader (`PT_INTERP`, see `elf(5)`); `None` if statically linked.
    pub(crate) interpreter: Option<Vec<u8>>,
}

impl Elf {
    /// Reads the headers of the file at `path`; `None` if it is not an ELF file.
    ///
    /// # Errors
    /// Whatever reading the file says, and `InvalidData` when the headers contradict themselves.
    pub(crate) fn inspect(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let mut header = [0; 64];
        let length = read_up_to(&file, &mut header, 0)?;
        if length < 52 || &header[..4] != MAGIC {
            return Ok(None);
        }
        let (wide, little) = (header[4] == CLASS_64, header[5] == LITTLE_ENDIAN);
        let number = |bytes: &[u8]| number(bytes, little);

        // e_machine, e_phoff, e_phentsize, e_phnum
        let machine = number(&header[18..20]) as u16;
        let (table, entry_size, entries) = if wide {
            (
                number(&header[32..40]),
                number(&header[54..56]),
                number(&header[56..58]),
            )
        } else {
            (
                number(&header[28..32]),
                number(&header[42..44]),
                number(&header[44..46]),
            )
        };

        let mut interpreter = None;
        for index in 0..entries {
            let mut entry = [0; 56];
            let entry = &mut entry[..if wide { 56 } else { 32 }];
            let at = table
                .checked_add(index * entry_size)
                .ok_or_else(inconsistent)?;
            file.read_exact_at(entry, at)?;
            if number(&entry[..4]) as u32 != PT_INTERP {
                continue;
            }
            // p_offset, p_filesz
            let (offset, size) = if wide {
                (number(&entry[8..16]), number(&entry[32..40]))
            } else {
                (number(&entry[4..8]), number(&entry[16..20]))
            };
            if size > INTERPRETER_MAX {
                return Err(inconsistent());
            }
            let mut path = vec![0; size as usize];
            file.read_exact_at(&mut path, offset)?;
            let end = path
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(path.len());
            path.truncate(end);
            interpreter = Some(path);
        }
        Ok(Some(Self {
            architecture: (header[4], header[5], machine),
            interpreter,
        }))
    }

    /// The interpreter's file name, which tells C libraries apart: `ld-linux-x86-64.so.2`,
    /// `ld-musl-x86_64.so.1`.
    pub(crate) fn loader_name(&self) -> Option<&[u8]> {
        self.interpreter
            .as_deref()?
            .rsplit(|&byte| byte == b'/')
            .next()
    }
}

fn inconsistent() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the ELF headers are inconsistent",
    )
}

fn number(bytes: &[u8], little_endian: bool) -> u64 {
    let join = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    if little_endian {
        bytes.iter().rev().fold(0, join)
    } else {
        bytes.iter().fold(0, join)
    }
}

/// Reads until `buffer` is full or the file ends; the number of bytes read.
pub(crate) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_a_dynamic_program() {
        let elf = Elf::inspect(&std::env::current_exe().unwrap())
            .unwrap()
            .unwrap();
        let loader = elf.loader_name().unwrap();
        assert!(
            loader.starts_with(b"ld"),
            "{}",
            String::from_utf8_lossy(loader)
        );
        assert!(!loader.contains(&b'/'));
    }

    #[test]
    fn a_text_is_not_a_program() {
        assert_eq!(Elf::inspect(Path::new(file!())).unwrap_or(None), None);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, b"#!/bin/sh\n").unwrap();
        assert_eq!(Elf::inspect(file.path()).unwrap(), None);
    }

    #[test]
    fn a_truncated_header_is_an_error() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, &whole[..80]).unwrap();
        assert!(Elf::inspect(file.path()).is_err());
    }
}
