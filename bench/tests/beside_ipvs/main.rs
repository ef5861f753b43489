//! The kernel's own IPVS, configured by ipvsadm, and ours, one after the other in the same lab: each connection
//! goes to the same real server by both. And the kernel's own tunnel devices at the end of our tunnels.
//!
//! All of it runs in Debian's user-mode Linux, whose kernel has what it takes; this machine's may not.
//!
//! ```text
//! schedulers  whom each scheduler picks, for many clients, then with one real server drained
//! tunnels     the kernel takes apart what we wrap
//! masquerade  likewise under the real server's address and port
//! service     a service, as both are told of it
//! directors   both directors, and asking them
//! transfer    much data, there and back
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod directors;
mod masquerade;
mod schedulers;
mod service;
#[path = "../cluster/transfer.rs"]
mod transfer;
mod tunnels;

use std::time::Duration;

use lb_bench::uml::GuestTest;

/// A test of this program, by its whole name.
const fn in_guest(name: &str) -> GuestTest<'_> {
    GuestTest {
        program: "beside_ipvs",
        name,
        directory: env!("CARGO_TARGET_TMPDIR"),
        modules: &[
            "veth",
            "bridge",
            "ip_vs",
            "ip_vs_rr",
            "ip_vs_wrr",
            "ip_vs_lc",
            "ip_vs_wlc",
            "ip_vs_sed",
            "ip_vs_nq",
            "ip_vs_fo",
            "ip_vs_ovf",
            "ip_vs_sh",
            "ip_vs_dh",
            "ip_vs_mh",
            "ipip",
            "sit",
            "ip6_tunnel",
            "ip_gre",
            "ip6_gre",
            "fou",
            "fou6",
        ],
        programs: &["ipvsadm"],
        // None takes more than 30 s; machines are busy.
        deadline: Duration::from_secs(150),
    }
}
