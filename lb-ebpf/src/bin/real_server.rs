//! The XDP program of a real server behind a tunnel, in an object of its own: it takes the outer header
//! away, so that the host needs no tunnel device.
//!
//! It decides nothing. What is taken away is `lb-common`'s to say, and which addresses are a tunnel's end
//! is in a map.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        internal_features,
        reason = "how a frame is reached depends on what the compiler knows of an offset"
    )
)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch, core_intrinsics))]

#[cfg(target_arch = "bpf")]
#[path = "../packet.rs"]
mod packet;

#[cfg(target_arch = "bpf")]
mod program {
    //! The program.

    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::HashMap;
    use aya_ebpf::programs::XdpContext;
    use lb_common::forward::{Decapsulation, decapsulate};

    use crate::packet::XdpPacket;

    /// Addresses of this host that are a tunnel's end: IPv6 as it lies, in two native words; IPv4 in the
    /// first four bytes, the others zero. The value is the UDP port of GUE, or 0 for none.
    #[map]
    static LOCAL_ADDRESSES: HashMap<[u64; 2], u32> = HashMap::with_max_entries(64, 0);

    /// Decides about one packet.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn real_server(context: XdpContext) -> u32 {
        let mut packet = XdpPacket::new(&context);
        match decapsulate(&mut packet, gue_port) {
            Decapsulation::Decapsulated | Decapsulation::NotOurs => xdp_action::XDP_PASS,
            Decapsulation::Dropped => xdp_action::XDP_DROP,
        }
    }

    #[inline(always)]
    fn gue_port(address: [u64; 2]) -> Option<u32> {
        // SAFETY: elements are preallocated: one that is deleted meanwhile stays readable memory.
        LOCAL_ADDRESSES.get_ptr(address).map(|port| unsafe { port.read_volatile() })
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        // Nothing in lb-common panics; if something did, the object would not load.
        loop {}
    }

    /// The object may be loaded where helpers ask for a GPL-compatible licence.
    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

/// On the host there is nothing to run.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
