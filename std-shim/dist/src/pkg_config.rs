//! The file that tells `pkg-config(1)` how to link with the library.

/// `allotment-malloc.pc`. Its prefix follows from its own place, so the tree can be moved.
pub(crate) fn malloc(version: &str) -> String {
    format!(
        "prefix=${{pcfiledir}}/../..\n\
         libdir=${{prefix}}/lib\n\
         includedir=${{prefix}}/include\n\
         \n\
         Name: allotment-malloc\n\
         Description: A malloc whose heap lives in the memory you give it\n\
         Version: {version}\n\
         Libs: -L${{libdir}} -lallotment_malloc\n\
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
