//! The programs that come from Debian: a line each.
//!
//! Refuses to know how they are installed.

/// A program, and the Debian package that brings it.
pub(crate) struct Need {
    /// A name to be found in PATH, or the absolute path of a file that must exist.
    pub(crate) program: &'static str,
    /// The Debian package.
    pub(crate) package: &'static str,
    /// What it is for, to be told to whoever has to install it by hand.
    pub(crate) purpose: &'static str,
    /// The systemd unit that the package would start at the next boot; it is disabled when we installed it.
    pub(crate) service: Option<&'static str>,
}

/// The lab and the tests.
pub(crate) const LAB: &[Need] = &[
    need("ip", "iproute2", "the lab's namespaces and links"),
    need("ethtool", "ethtool", "switching off the lab's checksum offload"),
    need("curl", "curl", "the lab's client"),
    need("nginx", "nginx-light", "the lab's real servers").without_service("nginx.service"),
    need("promtool", "prometheus", "checking the metrics' format").without_service("prometheus.service"),
    need("tcpdump", "tcpdump", "capturing what crosses the lab's links"),
    need("tshark", "tshark", "a second opinion on packets"),
    need("modprobe", "kmod", "loading kernel modules where the kernel has any"),
    need("wrk", "wrk", "the benchmark's client"),
    need("haproxy", "haproxy", "measured beside lb").without_service("haproxy.service"),
    need("nft", "nftables", "measured beside lb"),
    need("/usr/lib/nginx/modules/ngx_stream_module.so", "libnginx-mod-stream", "measured beside lb"),
    need("ipvsadm", "ipvsadm", "the kernel's own IPVS, to compare with").without_service("ipvsadm.service"),
    // The program `busybox` may also be the package `busybox`, which isn't static.
    need("/usr/share/doc/busybox-static", "busybox-static", "the root file system of test kernels"),
];

/// Linking bpf-linker.
pub(crate) const LINKER: &[Need] =
    &[need("cc", "gcc", "linking bpf-linker"), need("c++", "g++", "linking bpf-linker with LLVM")];

/// Debian's own compiler, of the same LLVM version as a packaged LLVM, with its library's source.
pub(crate) const COMPILER: &[Need] = &[
    need("/usr/bin/rustc", "rustc-web", "compiling for eBPF"),
    need("/usr/bin/cargo", "cargo-web", "building the eBPF object"),
    need("/usr/lib/rustlib/src/rust/library/core/src/lib.rs", "rust-web-src", "core for eBPF"),
];

/// Clippy of that compiler.
pub(crate) const CLIPPY: &[Need] =
    &[need("/usr/bin/cargo-clippy", "rust-web-clippy", "clippy for the eBPF program")];

/// What a virtual environment of Python needs on Debian.
pub(crate) const PYTHON: &[Need] = &[
    need("python3", "python3", "installing typos"),
    need("/usr/share/doc/python3-venv", "python3-venv", "installing typos without touching the system"),
];

const fn need(program: &'static str, package: &'static str, purpose: &'static str) -> Need {
    Need { program, package, purpose, service: None }
}

impl Need {
    const fn without_service(self, unit: &'static str) -> Self {
        Self { service: Some(unit), ..self }
    }
}
