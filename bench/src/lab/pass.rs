//! How an XDP program comes to an interface, and the smallest one, on the ports of switches: it passes
//! everything. Refuses to be configurable: that one is there only so that a port polls.
//!
//! A veth takes what `XDP_TX` and redirects send from its peer only if it polls (NAPI) itself. `ethtool -K
//! gro on` makes it poll too, but on Linux 6.18 frames then get lost now and then, without a counter.

use std::{
    io,
    mem::size_of,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// Commands and types of linux/bpf.h.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_PASS: u64 = 2;

/// `r0 = XDP_PASS; exit`.
const PROGRAM: [u64; 2] = [0xb7 | XDP_PASS << 32, 0x95];

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    /// Log and kernel version, which nobody asks for, and the rest.
    rest: [u64; 5],
    offload_interface: u32,
    expected_attach_type: u32,
}

/// The beginning of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct Link {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches the smallest program to an interface (ifindex) of the calling thread's namespace, for as long as the
/// answer lives.
pub(super) fn attach(interface: u32) -> io::Result<OwnedFd> {
    let load = Load {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: 2,
        instructions: PROGRAM.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        rest: [0; 5],
        offload_interface: 0,
        expected_attach_type: BPF_XDP,
    };
    attach_program(&bpf(BPF_PROG_LOAD, &load)?, interface)
}

/// Attaches a program that is loaded already, likewise.
pub(super) fn attach_program(program: &impl AsFd, interface: u32) -> io::Result<OwnedFd> {
    let program = program.as_fd().as_raw_fd().cast_unsigned();
    bpf(BPF_LINK_CREATE, &Link { program, interface, attach_type: BPF_XDP, flags: 0 })
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    let pointer: *const T = attributes;
    // SAFETY: the kernel reads `size_of::<T>()` bytes of attributes, and what they point to outlives the call.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size_of::<T>()) };
    match i32::try_from(answer) {
        // SAFETY: both commands answer with a descriptor that is new, and nobody else's.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}
