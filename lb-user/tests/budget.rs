//! What each program of the object costs the verifier, and how much stack it takes. Both have a limit here
//! that lies below the kernel's, so that growth is seen before a kernel refuses it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common {
    pub(crate) mod director;
    pub(crate) mod report;
}

use aya_obj::Object;
use aya_obj::generated::{
    BPF_ADD, BPF_ALU64, BPF_CALL, BPF_JMP, BPF_K, BPF_LDX, BPF_MOV, BPF_ST, BPF_STX, BPF_X, bpf_insn,
};
use lb_user::dataplane::OBJECT;
use lb_user::model::TableSizes;

use common::director::{load, sizes};
use common::report::say;

/// Verified instructions; Linux refuses more than 1,000,000. More also means a longer start.
const INSTRUCTIONS_MAX: u32 = 100_000;

/// Bytes of stack along a chain of calls (Linux, `MAX_BPF_STACK`).
const STACK_MAX: u32 = 512;

/// The frame pointer.
const R10: u8 = 10;

#[test]
fn the_program_stays_within_its_budget_of_verified_instructions() {
    let kernel = load(&sizes(&TableSizes { flows: 1_024, ..TableSizes::default() }));
    let program = kernel.program().unwrap().info().unwrap();
    let name = program.name_as_str().unwrap().to_owned();
    let count = program
        .verified_instruction_count()
        .unwrap_or_else(|| panic!("the kernel doesn't count: it is older than Linux 5.16"));
    say(&format!("{name}: {count} verified instructions of {INSTRUCTIONS_MAX}"));
    assert!(
        count <= INSTRUCTIONS_MAX,
        "{name}: {count} instructions are verified, and {INSTRUCTIONS_MAX} is the limit"
    );
}

#[test]
fn all_functions_together_stay_within_the_stack() {
    let object = Object::parse(OBJECT).unwrap();
    let mut sum = 0;
    for function in object.functions.values() {
        let (name, depth) = (&function.name, stack_depth(&function.instructions));
        say(&format!("{name}: {depth} bytes of stack, {} instructions", function.instructions.len()));
        // As the verifier rounds where there is no compiler to machine code.
        sum += depth.next_multiple_of(32);
    }
    say(&format!("if each called another: {sum} bytes of {STACK_MAX}"));
    assert!(object.programs.contains_key("director"));
    assert!(sum > 0 && sum <= STACK_MAX, "{sum} bytes of stack, and {STACK_MAX} is the kernel's limit");
}

/// How far below the frame pointer a function reaches.
fn stack_depth(instructions: &[bpf_insn]) -> u32 {
    // Registers that are a copy of the frame pointer.
    let mut copies = [false; 16];
    let mut lowest = 0;
    for instruction in instructions {
        let code = u32::from(instruction.code);
        let (to, from) = (instruction.dst_reg(), instruction.src_reg());
        match code & 7 {
            BPF_LDX if from == R10 => lowest = lowest.min(i32::from(instruction.off)),
            BPF_ST | BPF_STX if to == R10 => lowest = lowest.min(i32::from(instruction.off)),
            BPF_ALU64 if code & 0xf0 == BPF_ADD && code & 8 == BPF_K && copies[usize::from(to)] => {
                lowest = lowest.min(instruction.imm);
            }
            _ => {}
        }
        match code & 7 {
            BPF_JMP if code & 0xf0 == BPF_CALL => copies[..6].fill(false),
            BPF_ALU64 => copies[usize::from(to)] = code & 0xf0 == BPF_MOV && code & 8 == BPF_X && from == R10,
            BPF_LDX => copies[usize::from(to)] = false,
            _ => {}
        }
    }
    lowest.unsigned_abs()
}
