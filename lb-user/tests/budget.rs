//! What each program of the object costs the verifier, and how much stack it takes. Both have a limit here
//! that lies below the kernel's, so that growth is seen before a kernel refuses it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common {
    pub(crate) mod director;
    pub(crate) mod report;
}

use std::collections::{BTreeSet, HashSet};

use aya::programs::Program;
use aya_obj::Object;
use aya_obj::generated::{
    BPF_ADD, BPF_ALU64, BPF_CALL, BPF_DW, BPF_IMM, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MOV, BPF_PSEUDO_CALL,
    BPF_PSEUDO_FUNC, BPF_ST, BPF_STX, BPF_X, bpf_func_id, bpf_insn,
};
use lb_user::dataplane::OBJECT;
use lb_user::model::TableSizes;

use common::director::{load, sizes};
use common::report::say;

/// Verified instructions; Linux refuses more than 1,000,000. More also means a longer start.
const INSTRUCTIONS_MAX: u32 = 50_000;

/// Bytes of stack along a chain of calls (Linux, `MAX_BPF_STACK`).
const STACK_MAX: u32 = 512;

/// What the verifier rounds each function's up to, where there is no compiler to machine code or Linux is older
/// than 6.8.
const STACK_UNIT: u32 = 32;

/// Functions in a chain (Linux, `MAX_CALL_FRAMES`).
const FRAMES_MAX: u32 = 8;

/// The frame pointer.
const R10: u8 = 10;

#[test]
fn every_program_stays_within_its_budget_of_verified_instructions() {
    let mut kernel = load(&sizes(&TableSizes { flows: 1_024, ..TableSizes::default() }));
    let mut programs = 0;
    for (name, program) in kernel.ebpf_mut().programs() {
        let Program::Xdp(program) = program else { panic!("{name} is no program for XDP") };
        let count = program
            .info()
            .unwrap()
            .verified_instruction_count()
            .unwrap_or_else(|| panic!("the kernel doesn't count: it is older than Linux 5.16"));
        say(&format!("{name}: {count} verified instructions of {INSTRUCTIONS_MAX}"));
        assert!(count <= INSTRUCTIONS_MAX, "{name}: {count} instructions are verified");
        programs += 1;
    }
    assert!(programs > 5, "only {programs} programs");
}

#[test]
fn every_program_and_what_it_calls_stay_within_the_stack() {
    let mut object = Object::parse(OBJECT).unwrap();
    let names: Vec<String> = object.programs.keys().cloned().collect();
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    // Linked as a loader does it: a program, and behind it all functions that it can come to.
    object.relocate_calls(&sections).unwrap();
    assert!(names.iter().any(|name| name == "director"));
    for name in names {
        let program = &object.programs[&name];
        let key = program.function_key();
        let instructions = &object.functions[&key].instructions;
        let functions = Functions::of(instructions);
        let chain = functions.deepest_chain(0, 1);
        let depth: u32 = chain.iter().map(|depth| depth.max(&1).next_multiple_of(STACK_UNIT)).sum();
        let all = functions.starts.len();
        // Where there is no compiler to machine code, kernels refuse the two together.
        assert!(
            all == 1 || !leaves_to_another(instructions),
            "{name} calls functions, and leaves packets to others"
        );
        say(&format!(
            "{name}: {depth} bytes of stack of {STACK_MAX} ({chain:?} in the deepest chain, {all} functions)"
        ));
        assert!(depth <= STACK_MAX, "{name}: {depth} bytes of stack");
        let holds_something = chain.iter().any(|&depth| depth > 0);
        assert!(holds_something || name == "clock", "{name} needs no stack at all: that is not believed");
    }
}

/// The functions of one linked program.
struct Functions<'a> {
    instructions: &'a [bpf_insn],
    /// Where each begins; the program itself at 0.
    starts: BTreeSet<usize>,
}

impl<'a> Functions<'a> {
    fn of(instructions: &'a [bpf_insn]) -> Self {
        let all = 0..instructions.len();
        let starts = all.filter_map(|at| callee(instructions, at)).chain([0]).collect();
        Self { instructions, starts }
    }

    fn range(&self, start: usize) -> std::ops::Range<usize> {
        start..self.starts.range(start + 1..).next().copied().unwrap_or(self.instructions.len())
    }

    /// The stack depths along the chain of calls from a function on that needs most.
    fn deepest_chain(&self, start: usize, frames: u32) -> Vec<u32> {
        assert!(frames <= FRAMES_MAX, "more than {FRAMES_MAX} functions call each other, or in a circle");
        let range = self.range(start);
        let callees: BTreeSet<usize> = range.clone().filter_map(|at| callee(self.instructions, at)).collect();
        let need = |chain: &Vec<u32>| -> u32 {
            chain.iter().map(|depth| depth.max(&1).next_multiple_of(STACK_UNIT)).sum()
        };
        let below = callees.iter().map(|&callee| self.deepest_chain(callee, frames + 1)).max_by_key(need);
        let mut chain = vec![stack_depth(&self.instructions[range])];
        chain.extend(below.unwrap_or_default());
        chain
    }
}

/// Whether a program may leave a packet to another (`bpf_tail_call`).
fn leaves_to_another(instructions: &[bpf_insn]) -> bool {
    let calls = instructions.iter().filter(|it| it.code == (BPF_JMP | BPF_CALL) as u8 && it.src_reg() == 0);
    calls.into_iter().any(|it| it.imm == bpf_func_id::BPF_FUNC_tail_call as i32)
}

/// The function that an instruction calls, or hands over to be called (`bpf_loop`); where it begins.
fn callee(instructions: &[bpf_insn], at: usize) -> Option<usize> {
    let instruction = &instructions[at];
    let kind = u32::from(instruction.src_reg());
    let is_call = instruction.code == (BPF_JMP | BPF_CALL) as u8 && kind == BPF_PSEUDO_CALL;
    let is_callback = instruction.code == (BPF_LD | BPF_IMM | BPF_DW) as u8 && kind == BPF_PSEUDO_FUNC;
    (is_call || is_callback).then(|| at.checked_add_signed(instruction.imm as isize + 1).unwrap())
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
