//! The XDP program: where the kernel enters, and where a decision becomes an XDP action.
//!
//! It decides nothing. The decision is `lb-common`'s; `packet` and `tables` are what it sees of the kernel.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    expect(internal_features, reason = "the target has no compare-and-exchange but the intrinsic")
)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch, core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "an address within a map's value and its access are one thought"
    )
)]

#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod tables;

#[cfg(target_arch = "bpf")]
mod entry {
    //! The program.

    use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
    use lb_common::director::{Decision, direct};
    use lb_common::net::Packet as _;
    use lb_common::verdict::Action;

    use crate::packet::XdpPacket;
    use crate::tables::{KernelTables, redirect, tell};

    /// Decides about one packet.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn director(context: XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        let mut packet = XdpPacket::new(&context);
        let decision @ Decision { verdict, interface } = direct(&mut packet, &tables);
        tell(&context, decision);
        match verdict.action() {
            Action::Forward if interface == packet.interface() => xdp_action::XDP_TX,
            Action::Forward => redirect(interface),
            Action::Pass => xdp_action::XDP_PASS,
            Action::Drop => xdp_action::XDP_DROP,
        }
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

/// On the host there is nothing to run: the crate is built for the kernel by `cargo xtask build`.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
