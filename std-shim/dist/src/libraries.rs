//! The C libraries that Allotment stands in for, one row each.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artifacts::{self, Kind, Package};
use crate::{layout, pkg_config};

/// A C library of someone else's, of which programs must not notice that it is ours.
pub(crate) struct Library {
    /// The crate, a staticlib.
    pub(crate) package: Package,
    /// What the dynamic loader looks for; it names the file.
    pub(crate) soname: &'static str,
    /// What `cc -l` looks for: a link to the former. None for a library that is only preloaded.
    pub(crate) link_name: Option<&'static str>,
    /// The symbols and their versions: a file of the crate.
    pub(crate) version_script: &'static str,
    /// What programs include, in `std-shim/abi/include`.
    pub(crate) headers: &'static [&'static str],
    /// What `pkg-config` finds, if the original has such a file.
    pub(crate) pkg_config: Option<PkgConfig>,
}

/// A pkg-config file of a [`Library`].
pub(crate) struct PkgConfig {
    /// Its name, without `.pc`.
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// The release of the original whose interface this is: programs ask for one.
    pub(crate) version: &'static str,
    /// What follows `-l`.
    pub(crate) library: &'static str,
}

/// All of them.
pub(crate) const LIBRARIES: &[Library] = &[
    Library {
        package: Package {
            name: "allotment-libpmem",
            directory: "std-shim/abi/libpmem",
            kind: Kind::StaticLibrary,
        },
        soname: "libpmem.so.1",
        link_name: Some("libpmem.so"),
        version_script: "libpmem.map",
        headers: &["libpmem.h"],
        pkg_config: Some(PkgConfig {
            name: "libpmem",
            description: "Persistent memory: mapped files made durable (Allotment's libpmem)",
            version: "2.1.0",
            library: "pmem",
        }),
    },
    Library {
        package: Package {
            name: "allotment-libpmem2",
            directory: "std-shim/abi/libpmem2",
            kind: Kind::StaticLibrary,
        },
        soname: "libpmem2.so.1",
        link_name: Some("libpmem2.so"),
        version_script: "libpmem2.map",
        headers: &["libpmem2.h", "libpmem2/base.h"],
        pkg_config: Some(PkgConfig {
            name: "libpmem2",
            description: "Persistent memory: sources mapped into reserved address space (Allotment's libpmem2)",
            version: "2.1.0",
            library: "pmem2",
        }),
    },
    Library {
        package: Package {
            name: "allotment-libvmem",
            directory: "std-shim/abi/libvmem",
            kind: Kind::StaticLibrary,
        },
        soname: "libvmem.so.1",
        link_name: Some("libvmem.so"),
        version_script: "libvmem.map",
        headers: &["libvmem.h"],
        pkg_config: Some(PkgConfig {
            name: "libvmem",
            description: "malloc in pools of memory that you choose (Allotment's libvmem)",
            version: "1.8",
            library: "vmem",
        }),
    },
    Library {
        package: Package {
            name: "allotment-libvmmalloc",
            directory: "std-shim/abi/libvmmalloc",
            kind: Kind::StaticLibrary,
        },
        soname: "libvmmalloc.so.1",
        link_name: Some("libvmmalloc.so"),
        version_script: "libvmmalloc.map",
        headers: &["libvmmalloc.h"],
        pkg_config: Some(PkgConfig {
            name: "libvmmalloc",
            description: "A program's heap in a pool in a file (Allotment's libvmmalloc)",
            version: "1.8",
            library: "vmmalloc",
        }),
    },
    Library {
        package: Package {
            name: "allotment-libmemkind",
            directory: "std-shim/abi/libmemkind",
            kind: Kind::StaticLibrary,
        },
        soname: "libmemkind.so.0",
        link_name: Some("libmemkind.so"),
        version_script: "libmemkind.map",
        headers: &[
            "memkind.h",
            "memkind_deprecated.h",
            "memkind_memtier.h",
            "memkind_handle.h",
            "memkind_allocator.h",
            "pmem_allocator.h",
            "fixed_allocator.h",
            "hbwmalloc.h",
        ],
        pkg_config: Some(PkgConfig {
            name: "memkind",
            description: "Heaps in kinds of memory: files, the program's own, NUMA nodes (Allotment's memkind)",
            version: "1.14.0",
            library: "memkind",
        }),
    },
];

impl Library {
    /// Builds it, and puts it and its pkg-config file under the prefix.
    pub(crate) fn install(&self, workspace: &Path, prefix: &Path) -> Result<(), String> {
        let archive = artifacts::build(workspace, &self.package)?;
        let library = prefix.join("lib").join(self.soname);
        layout::make_parent(&library)?;
        self.link(workspace, &archive, &library)?;
        if let Some(name) = self.link_name {
            layout::symbolic_link(self.soname, &prefix.join("lib").join(name))?;
        }
        if let Some(file) = &self.pkg_config {
            let path = prefix.join(format!("lib/pkgconfig/{}.pc", file.name));
            layout::text(&pkg_config::file(file), &path)?;
        }
        Ok(())
    }

    /// Makes a shared library of the archive. The compiler does it, since rustc does not let a `cdylib` give
    /// its symbols a version.
    fn link(&self, workspace: &Path, archive: &Path, library: &Path) -> Result<(), String> {
        let script = workspace
            .join(self.package.directory)
            .join(self.version_script);
        let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
        let status = Command::new(&compiler)
            .args(["-shared", "-o"])
            .arg(library)
            .arg("-Wl,--whole-archive")
            .arg(archive)
            .arg("-Wl,--no-whole-archive")
            .arg(option("-Wl,--version-script=", &script))
            .arg(format!("-Wl,-soname,{}", self.soname))
            .args(["-Wl,--gc-sections", "-Wl,--strip-debug"])
            .args(["-Wl,-z,relro,-z,now", "-Wl,-z,defs", "-Wl,--as-needed"])
            // Threads run code in it when they end.
            .arg("-Wl,-z,nodelete")
            // What Rust's standard library needs.
            .args(["-lgcc_s", "-lpthread", "-lm", "-ldl", "-lc"])
            .status()
            .map_err(|error| format!("cannot run {}: {error}", compiler.to_string_lossy()))?;
        if !status.success() {
            return Err(format!("linking {} failed: {status}", self.soname));
        }
        Ok(())
    }

    /// The names of all files that [`Library::install`] writes.
    fn file_names(&self) -> impl Iterator<Item = String> + '_ {
        let pkg_config = self
            .pkg_config
            .as_ref()
            .map(|file| format!("{}.pc", file.name));
        core::iter::once(self.soname)
            .chain(self.link_name)
            .chain(
                self.headers
                    .iter()
                    .filter_map(|header| header.rsplit('/').next()),
            )
            .map(str::to_owned)
            .chain(pkg_config)
    }
}

/// Whether a file of this name is part of one of the libraries.
pub(crate) fn is_part(file_name: &str) -> bool {
    LIBRARIES
        .iter()
        .flat_map(Library::file_names)
        .any(|name| name.rsplit('/').next() == Some(file_name))
}

fn option(name: &str, path: &Path) -> PathBuf {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_files() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for library in LIBRARIES {
            let directory = workspace.join(library.package.directory);
            assert!(directory.join("Cargo.toml").is_file());
            assert!(directory.join(library.version_script).is_file());
            for header in library.headers {
                let header = workspace.join("std-shim/abi/include").join(header);
                assert!(header.is_file(), "{}", header.display());
            }
        }
    }

    #[test]
    fn parts_are_known_by_name() {
        for name in ["libpmem.so.1", "libpmem.so", "base.h", "libpmem.pc"] {
            assert!(is_part(name), "{name}");
        }
        assert!(!is_part("libc.so.6"));
    }
}
