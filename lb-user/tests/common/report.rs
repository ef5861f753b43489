//! What a test tells whoever runs it.

use std::io::{self, Write as _};

/// Prints a line at once, also when the test passes: libtest captures what `eprintln!` prints.
pub(crate) fn say(line: &str) {
    writeln!(io::stderr().lock(), "{line}").unwrap();
}
