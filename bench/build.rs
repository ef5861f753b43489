//! Tells the compiler where the lab's eBPF objects are, which another compiler has built before.

use std::env;
use std::path::{Path, PathBuf};

/// What names the benchmark's harness.
const HARNESS: &str = "LB_HARNESS_OBJECT";
/// What names the real server behind a tunnel; it lies beside the harness if nothing does.
const REAL_SERVER: &str = "LB_REAL_SERVER_OBJECT";

fn main() {
    println!("cargo::rerun-if-env-changed={HARNESS}");
    println!("cargo::rerun-if-env-changed={REAL_SERVER}");
    let Some(harness) = env::var_os(HARNESS).map(PathBuf::from) else {
        println!(
            "cargo::error=the lab embeds eBPF objects, which are built by another compiler: run `cargo xtask build`, or set {HARNESS} to target/bpf/harness"
        );
        return;
    };
    let beside = || harness.with_file_name("real_server");
    let real_server = env::var_os(REAL_SERVER).map_or_else(beside, PathBuf::from);
    for (name, path) in [(HARNESS, &harness), (REAL_SERVER, &real_server)] {
        tell(name, path);
    }
}

fn tell(name: &str, object: &Path) {
    let path = object.display();
    if object.is_file() {
        println!("cargo::rerun-if-changed={path}");
        println!("cargo::rustc-env={name}={path}");
    } else {
        println!("cargo::error={name} names {path}, which is no file: run `cargo xtask build`");
    }
}
