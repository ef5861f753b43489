//! The configuration file: its text in, a validated [`Model`] out, or every reason why not.
//!
//! ```text
//! file -> text          here      size, UTF-8
//! text -> raw           raw       TOML's syntax and types, unknown and missing keys
//! raw  -> Model         validate  what each value means, what they mean together
//! ```
//!
//! An error is one line that names the file, the line, the key and what to do:
//! `lb.toml:12: virtual_service[0].real_server[2].weight: 70000 is out of range: 0 to 65535 (0 drains)`.
//! Syntax errors are reported together, and so are all errors of validation; of wrong types and
//! unknown or missing keys only the first.
//!
//! Nothing here looks at the host: whether an interface exists or a real server is on the link is
//! found out by whoever applies the model.
//!
//! A complete file, which is also a test's input:
//!
//! ```toml
#![doc = include_str!("example.toml")]
//! ```

mod address;
mod duration;
mod error;
mod list;
mod raw;
mod source;
mod validate;
mod words;

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;

use std::{fs::File, io::Read as _, path::Path};

pub use error::{Error, Errors, Place, Problem};

use crate::model::Model;
use source::Source;

/// The longest file that is read, in bytes. Thousands of services with all their real servers fit.
pub const FILE_MAX: usize = 16 << 20;

/// Reads and validates the file at `path`.
///
/// Errors: [`Problem::Unreadable`], [`Problem::TooLarge`], [`Problem::NotUtf8`], and those of [`parse`].
pub fn load(path: &Path) -> Result<Model, Errors> {
    let name = path.display().to_string();
    let bytes =
        read(path).map_err(|problem| Errors::from(Error { file: name.clone(), place: None, problem }))?;
    match str::from_utf8(&bytes) {
        Ok(text) => parse(&name, text),
        Err(error) => {
            let (before, rest) = bytes.split_at(error.valid_up_to());
            let line = before.split(|&byte| byte == b'\n').count();
            let problem = Problem::NotUtf8 { byte: rest.first().copied().unwrap_or_default() };
            Err(Error { file: name, place: Some(Place { line, key: None }), problem }.into())
        }
    }
}

/// Validates `text`, which errors call `name`.
///
/// Errors: all that are found in the first stage that finds one; see [`Problem`].
pub fn parse(name: &str, text: &str) -> Result<Model, Errors> {
    let source = Source::new(name, text);
    let raw = raw::read(&source)?;
    validate::model(&raw, &source)
}

/// The bytes of the file, or why not.
fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Problem::Unreadable)?;
    // One byte more than allowed tells a file that is too large, and a device ends too.
    file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(Problem::Unreadable)?;
    if bytes.len() > FILE_MAX { Err(Problem::TooLarge) } else { Ok(bytes) }
}
