//! Where things are: the workspace's root, cargo's target directory and our own places below it.
//!
//! Refuses to know what is built there.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::child;

/// The checkout that this command belongs to.
pub(crate) struct Workspace {
    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory: `CARGO_TARGET_DIR` and cargo's configuration are honoured.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo, because the target directory may be set in more places than are worth repeating here.
    pub(crate) fn find() -> Result<Self> {
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let output = child::cargo()
            .args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"])
            .arg(package.join("Cargo.toml"))
            .output()
            .context("can't start cargo")?;
        ensure!(
            output.status.success(),
            "cargo can't read the workspace of {}:\n{}",
            package.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).context("reading cargo's metadata")?;
        let path = |key: &str| {
            metadata[key]
                .as_str()
                .map(PathBuf::from)
                .with_context(|| format!("cargo's metadata has no {key}"))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// Where `setup` puts the tools that it builds, so that nothing in the user's home changes.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The eBPF object, as the host's build includes it.
    pub(crate) fn object(&self) -> PathBuf {
        self.target.join("bpf/lb-ebpf")
    }

    /// The object of the benchmark's harness, as the host's build includes it.
    pub(crate) fn harness(&self) -> PathBuf {
        self.target.join("bpf/harness")
    }
}
