//! Where something is in a file: from a byte offset to its line and the path of its key.
//!
//! Values carry only their offset through the stages; this turns it into what people read.
//! Knows TOML's structure, not what the keys mean.

use std::{cell::OnceCell, collections::BTreeMap, fmt::Write as _, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::error::{Error, Place, Problem};

/// The text of a file and what it is called.
pub(super) struct Source<'a> {
    name: &'a str,
    pub(super) text: &'a str,
    /// Offsets of the ends of lines, ascending.
    line_ends: Vec<usize>,
    /// Needed for the first error only.
    keys: OnceCell<Keys>,
}

/// The paths of keys by the offset at which the key, its value or its table's header begins.
type Keys = BTreeMap<usize, String>;

impl<'a> Source<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        let line_ends = text.match_indices('\n').map(|(offset, _)| offset).collect();
        Self { name, text, line_ends, keys: OnceCell::new() }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        1 + self.line_ends.partition_point(|&end| end < offset)
    }

    /// The error of something that begins at `offset`.
    pub(super) fn error(&self, offset: usize, problem: Problem) -> Error {
        let key = self.key(offset).map(str::to_owned);
        self.error_at(offset, key, problem)
    }

    /// The error of a key that the table that begins at `offset` should have.
    pub(super) fn error_in(&self, offset: usize, key: &str, problem: Problem) -> Error {
        let mut path = self.key(offset).unwrap_or_default().to_owned();
        push_key(&mut path, key);
        self.error_at(offset, Some(path), problem)
    }

    fn error_at(&self, offset: usize, key: Option<String>, problem: Problem) -> Error {
        Error { file: self.name.to_owned(), place: Some(Place { line: self.line(offset), key }), problem }
    }

    /// The path of what begins at `offset`, or last before it on the same line.
    fn key(&self, offset: usize) -> Option<&str> {
        let keys = self.keys.get_or_init(|| keys(self.text));
        let (&start, path) = keys.range(..=offset).next_back()?;
        (self.line(start) == self.line(offset)).then_some(path)
    }
}

fn keys(text: &str) -> Keys {
    // Of a file with syntax errors, what could be understood.
    let (table, _) = DeTable::parse_recoverable(text);
    let mut keys = Keys::new();
    walk_table(table.get_ref(), "", &mut keys);
    keys
}

fn walk_table(table: &DeTable<'_>, path: &str, keys: &mut Keys) {
    for (key, value) in table {
        let mut path = path.to_owned();
        push_key(&mut path, key.get_ref());
        note(key.span(), &path, keys);
        walk_value(value, &path, keys);
    }
}

fn walk_value(value: &Spanned<DeValue<'_>>, path: &str, keys: &mut Keys) {
    note(value.span(), path, keys);
    match value.get_ref() {
        DeValue::Table(table) => walk_table(table, path, keys),
        DeValue::Array(array) => {
            for (i, element) in array.iter().enumerate() {
                walk_value(element, &format!("{path}[{i}]"), keys);
            }
        }
        _ => {}
    }
}

/// The innermost wins: the first `[[table]]` begins where its array does.
fn note(span: Range<usize>, path: &str, keys: &mut Keys) {
    // What could not be parsed has no extent.
    if !span.is_empty() {
        keys.insert(span.start, path.to_owned());
    }
}

fn push_key(path: &mut String, key: &str) {
    let separator = if path.is_empty() { "" } else { "." };
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    // Writing to a String cannot fail.
    let _ = if bare { write!(path, "{separator}{key}") } else { write!(path, "{separator}{key:?}") };
}
