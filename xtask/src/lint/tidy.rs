//! The house rules that no other tool knows: a file says what it is for, stays short and speaks the field's language.
//!
//! Refuses to judge anything that needs understanding.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::source;

/// Longer than this and a file has more than one job.
const LINES: usize = 500;

/// Words of other load balancers for what LVS calls virtual service, real server and destination.
const NOT_OURS: [&str; 6] = ["vip", "vips", "backend", "backends", "upstream", "upstreams"];

/// Names that say nothing of a file's job.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "manager", "common", "misc"];

/// Files that must be there.
const REQUIRED: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "Cargo.lock"];

/// Checks every Rust file below `root`; prints what is wrong and where. Says whether all is well.
pub(super) fn check(root: &Path) -> Result<bool> {
    let mut faults: Vec<String> = REQUIRED
        .iter()
        .filter(|name| !root.join(name).exists())
        .map(|name| format!("{name}: is missing"))
        .collect();
    let mut files = Vec::new();
    rust_files(root, &mut files)?;
    files.sort();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(file);
        faults.extend(faults_of(name, &text));
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    Ok(faults.is_empty())
}

/// Build directories and what starts with a dot are nobody's source.
fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                rust_files(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn faults_of(name: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |line: usize, what: &str| faults.push(format!("{}:{line}: {what}", name.display()));
    if !text.starts_with("//! ") {
        fault(1, "opens without `//!` saying what it is for");
    }
    if text.lines().count() > LINES {
        fault(LINES + 1, &format!("longer than {LINES} lines: it has more than one job"));
    }
    let stem = name.file_stem().unwrap_or_default().to_string_lossy();
    if EMPTY_NAMES.contains(&&*stem) {
        fault(1, &format!("a file called {stem} has no job; name it for what it does"));
    }
    for (number, line) in source::code_lines(text).iter().enumerate() {
        if line.contains("#[allow") || line.contains("#![allow") {
            fault(
                number + 1,
                "`allow`: write `#[expect(.., reason = \"..\")]`, which goes when it no longer holds",
            );
        }
        for word in source::words(line).filter(|word| NOT_OURS.contains(&word.as_str())) {
            fault(number + 1, &format!("`{word}` is not LVS's word (ipvsadm(8) has them)"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{LINES, faults_of};

    fn faults(text: &str) -> Vec<String> {
        faults_of(Path::new("a/b.rs"), text)
    }

    #[test]
    fn a_good_file_has_none() {
        assert_eq!(faults("//! Opens well.\nfn real_server() {} // not a backend\n"), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_fault() {
        assert!(faults("fn a() {}\n")[0].starts_with("a/b.rs:1: opens without"));
        assert!(faults("//! A.\n#[allow(dead_code)]\nfn a() {}\n")[0].starts_with("a/b.rs:2: `allow`"));
        assert!(faults("//! A.\nfn pickBackend() {}\n")[0].starts_with("a/b.rs:2: `backend`"));
        assert!(faults("//! A.\nconst VIP_PORT: u16 = 1;\n")[0].starts_with("a/b.rs:2: `vip`"));
        assert!(faults(&format!("//! A.\n{}", "\n".repeat(LINES)))[0].contains("longer than"));
        assert!(faults_of(Path::new("a/utils.rs"), "//! A.\n")[0].contains("called utils"));
    }
}
