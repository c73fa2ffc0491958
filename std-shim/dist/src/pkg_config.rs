//! The files that tell `pkg-config(1)` how to link with the libraries.

use crate::libraries::PkgConfig;

/// `allotment-malloc.pc`.
pub(crate) fn malloc(version: &str) -> String {
    text(
        "allotment-malloc",
        "A malloc whose heap lives in the memory you give it",
        version,
        "allotment_malloc",
    )
}

/// The file of a library that we stand in for.
pub(crate) fn file(file: &PkgConfig) -> String {
    text(file.name, file.description, file.version, file.library)
}

/// Its prefix follows from its own place, so the tree can be moved.
fn text(name: &str, description: &str, version: &str, library: &str) -> String {
    format!(
        "prefix=${{pcfiledir}}/../..\n\
         libdir=${{prefix}}/lib\n\
         includedir=${{prefix}}/include\n\
         \n\
         Name: {name}\n\
         Description: {description}\n\
         Version: {version}\n\
         Libs: -L${{libdir}} -l{library}\n\
         Cflags: -I${{includedir}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_relative_to_the_file() {
        let text = malloc("1.2.3");
        assert!(text.starts_with("prefix=${pcfiledir}/../..\n"));
        assert!(text.contains("\nVersion: 1.2.3\n"));
        assert!(!text.contains("\n "), "no line is indented");
    }
}
