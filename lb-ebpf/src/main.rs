//! The XDP programs: where the kernel enters, and where a decision becomes an XDP action.
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
mod addresses;
#[cfg(target_arch = "bpf")]
mod flow_line;
#[cfg(target_arch = "bpf")]
mod functions;
#[cfg(target_arch = "bpf")]
mod guard;
#[cfg(target_arch = "bpf")]
mod leave;
#[cfg(target_arch = "bpf")]
mod load;
#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod services;
#[cfg(target_arch = "bpf")]
mod tables;

#[cfg(target_arch = "bpf")]
mod entry {
    //! The programs.

    use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
    use lb_common::director::{
        Decision, LOOKS_MAX, Step, Task, answer, begin_choice, classify, end_choice, forward, long_way,
        masquerade, open, short_way,
    };
    use lb_common::net::Packet as _;
    use lb_common::verdict::{Action, Verdict};

    use crate::functions::{LOOKS, director_looks};
    use crate::leave::{Next, is_debugged, leave_to, redirect, tell};
    use crate::packet::XdpPacket;
    use crate::tables::{KernelTables, jiffies};

    /// Decides about one packet, if the short way can; else it ends in [`director_long_way`].
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn director(context: XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        if is_debugged() {
            // All that is logged is logged by the other programs.
            return leave_to(Next::LongWay, &context, &tables);
        }
        let mut packet = XdpPacket::new(&context);
        match short_way(&mut packet, &tables) {
            Some(decision) => carry_out(&context, decision),
            None => leave_to(Next::LongWay, &context, &tables),
        }
    }

    /// Decides about any packet, as far as it can.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn director_long_way(context: XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        let packet = XdpPacket::new(&context);
        let step = long_way(&packet, &tables, tables.task());
        go_on(step, &context, &tables)
    }

    /// Finds a packet's service.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn director_classify(context: XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        let step = classify(&tables, tables.task());
        go_on(step, &context, &tables)
    }

    /// Chooses a real server, opens a connection, and goes on to the end, as [`director_open`] does.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn director_choose(context: XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        begun();
        for _ in 0..LOOKS_MAX.div_ceil(LOOKS) {
            if director_looks() == 0 {
                break;
            }
        }
        match end_choice(&tables, tables.task()) {
            Step::Open => opened(&context, &tables),
            step => ended(&context, step),
        }
    }

    // Out of line, as those below: each with a stack of its own.
    #[inline(never)]
    fn begun() -> u32 {
        if let Some(tables) = KernelTables::new() {
            begin_choice(&tables, tables.task());
        }
        0
    }

    /// Opens a connection, and goes on to the end.
    ///
    /// Not by another program: where there is no compiler to machine code, one that calls functions may not
    /// leave a packet to another.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn director_open(context: XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        opened(&context, &tables)
    }

    #[inline(always)]
    fn opened(context: &XdpContext, tables: &KernelTables) -> u32 {
        let step = open(tables, tables.task());
        ended(context, step)
    }

    /// The rest of the way, within one program.
    #[inline(always)]
    fn ended(context: &XdpContext, step: Step) -> u32 {
        match step {
            Step::Done(decision) => end(context, decision),
            Step::Answer => answered(context),
            // One after the other, not within: so their stacks don't add up.
            _ => {
                let action = match forwarded(context) {
                    UNMASQUERADED => masqueraded(context),
                    action => action,
                };
                if action == UNANSWERED { answered(context) } else { action }
            }
        }
    }

    /// No XDP action: the sender is to be told why its packet was not forwarded.
    const UNANSWERED: u32 = u32::MAX;
    /// No XDP action either: its addresses are to be rewritten.
    const UNMASQUERADED: u32 = u32::MAX - 1;

    // Out of line, as the next one: each with a stack of its own.
    #[inline(never)]
    fn forwarded(context: &XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        let mut packet = XdpPacket::new(context);
        match forward(&mut packet, &tables, tables.task()) {
            Step::Done(decision) => end(context, decision),
            Step::Masquerade => UNMASQUERADED,
            _ => UNANSWERED,
        }
    }

    #[inline(never)]
    fn masqueraded(context: &XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        let mut packet = XdpPacket::new(context);
        match masquerade(&mut packet, &tables, tables.task()) {
            Step::Done(decision) => end(context, decision),
            _ => UNANSWERED,
        }
    }

    #[inline(never)]
    fn answered(context: &XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        let mut packet = XdpPacket::new(context);
        let decision = answer(&mut packet, &tables, tables.task());
        end(context, decision)
    }

    /// Sends a packet to its destination.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn director_forward(context: XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        let mut packet = XdpPacket::new(&context);
        let step = forward(&mut packet, &tables, tables.task());
        go_on(step, &context, &tables)
    }

    /// Sends a packet of a masqueraded connection.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn director_masquerade(context: XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        let mut packet = XdpPacket::new(&context);
        let step = masquerade(&mut packet, &tables, tables.task());
        go_on(step, &context, &tables)
    }

    /// Tells the sender of a packet why it was dropped.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn director_answer(context: XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        let mut packet = XdpPacket::new(&context);
        let decision = answer(&mut packet, &tables, tables.task());
        end(&context, decision)
    }

    /// Tells the log what has become of a packet. Nothing ends here but under the debug switch.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn director_tell(context: XdpContext) -> u32 {
        let Some(tables) = KernelTables::new() else {
            return xdp_action::XDP_PASS;
        };
        let Task { verdict, interface, .. } = *tables.task();
        tell(&context, verdict, interface);
        match Verdict::ALL.get(verdict as usize) {
            Some(&verdict) => carry_out(&context, Decision { verdict, interface }),
            None => xdp_action::XDP_ABORTED,
        }
    }

    #[inline(always)]
    fn go_on(step: Step, context: &XdpContext, tables: &KernelTables) -> u32 {
        match step {
            Step::Done(decision) if is_debugged() => {
                let task = tables.task();
                (task.verdict, task.interface) = (decision.verdict as u32, decision.interface);
                leave_to(Next::Tell, context, tables)
            }
            Step::Done(decision) => carry_out(context, decision),
            Step::Classify => leave_to(Next::Classify, context, tables),
            Step::Choose => leave_to(Next::Choose, context, tables),
            Step::Open => leave_to(Next::Open, context, tables),
            Step::Forward => leave_to(Next::Forward, context, tables),
            Step::Masquerade => leave_to(Next::Masquerade, context, tables),
            Step::Answer => leave_to(Next::Answer, context, tables),
        }
    }

    /// The end of a program that leaves no packet to another.
    #[inline(always)]
    fn end(context: &XdpContext, decision: Decision) -> u32 {
        tell(context, decision.verdict as u32, decision.interface);
        carry_out(context, decision)
    }

    #[inline(always)]
    fn carry_out(context: &XdpContext, decision: Decision) -> u32 {
        let Decision { verdict, interface } = decision;
        match verdict.action() {
            Action::Forward if interface == context.ingress_ifindex() as u32 => xdp_action::XDP_TX,
            Action::Forward => redirect(interface),
            Action::Pass => xdp_action::XDP_PASS,
            // A packet that has become the answer to itself.
            Action::Drop if interface != 0 => xdp_action::XDP_TX,
            Action::Drop => xdp_action::XDP_DROP,
        }
    }

    /// Tells the time: the first eight bytes of the frame become the kernel's jiffies. For test runs; it is
    /// attached nowhere.
    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the macro hands it over so")]
    fn clock(context: XdpContext) -> u32 {
        match XdpPacket::new(&context).write(0, jiffies()) {
            Some(()) => xdp_action::XDP_PASS,
            None => xdp_action::XDP_ABORTED,
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
