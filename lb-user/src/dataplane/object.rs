//! The XDP object, inside the binary: `lb` needs no file beside it.

/// The ELF object that `cargo xtask build` made.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LB_EBPF_OBJECT"));
