//! Tells the compiler where the harness's object is, which another compiler has built before.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=LB_HARNESS_OBJECT");
    match std::env::var("LB_HARNESS_OBJECT") {
        Ok(path) if Path::new(&path).is_file() => println!("cargo::rerun-if-changed={path}"),
        Ok(path) => {
            println!(
                "cargo::error=LB_HARNESS_OBJECT names {path}, which is no file: run `cargo xtask build`"
            );
        }
        Err(_) => {
            println!(
                "cargo::error=the benchmark embeds an eBPF object, which is built by another compiler: run `cargo xtask build`, or set LB_HARNESS_OBJECT to target/bpf/harness"
            );
        }
    }
}
