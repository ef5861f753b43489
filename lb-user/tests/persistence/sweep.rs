//! The daemon's sweep over the kernel's tables: what connections keep, and what is over.

use aya::programs::{TestRun as _, TestRunOptions};
use lb_common::wire::{
    EMPTY, Family, LINE_SLOTS, Options, Persistence, Place, Settings, State, Template, Timeouts,
    entry_destination,
};
use lb_user::dataplane::{Dataplane as _, KernelDataplane, Sizes, Sweep};
use lb_user::model::{Netmask, Scheduler};
use lb_user::plan::{Health, WantedService};

use super::common::director::{load, sizes};
use super::common::services::Endpoint;
use super::{
    ACK, RST, SERVICE, SYN, TCP, apply, configure, fast_clock, frame, next_port, real_server, small,
};

/// Seconds by [`fast_clock`].
const TIMEOUT: u32 = 30;

/// Tables by whose clock a second passes in a few jiffies.
fn kernel(templates: u32) -> KernelDataplane {
    let settings = sizes(&small(templates)).settings();
    let timeouts = Timeouts::new(900, 120, 300, fast_clock());
    load(&Sizes::from_settings(Settings { hz: fast_clock().hz(), timeouts, ..settings }))
}

fn persistence() -> Persistence {
    Persistence::new(TIMEOUT, Netmask::whole(Family::V4).bytes(), fast_clock())
}

fn send(kernel: &KernelDataplane, client: u32, port: u16, flags: u8) -> u8 {
    let (bytes, mut out) = (frame(TCP, client, port, flags), vec![0; 4096]);
    let options = TestRunOptions { data_in: Some(&bytes), data_out: Some(&mut out), ..TestRunOptions::new() };
    kernel.program().unwrap().test_run(options).unwrap();
    out[5]
}

/// Waits until the kernel's clock has come so far.
fn wait_until(kernel: &KernelDataplane, jiffies: u64) {
    while kernel.jiffies().unwrap() < jiffies {
        std::thread::yield_now();
    }
}

/// Every template: its place, the number of its destination, its state.
fn templates(kernel: &KernelDataplane) -> Vec<(Place, u32, State)> {
    let lines = (0..).zip(kernel.lines()).skip(kernel.sizes().settings().lines as usize);
    let slots = lines.flat_map(|(index, line)| {
        (0..LINE_SLOTS).map(move |slot| (Place::new(index, slot), line.entries[slot], line.states[slot]))
    });
    let taken = slots.filter(|(_, entry, _)| *entry != EMPTY);
    taken.map(|(place, entry, word)| (place, entry_destination(entry), State::of(word))).collect()
}

fn only(kernel: &KernelDataplane) -> (Place, Template, State) {
    let [(place, _, state)] = templates(kernel)[..] else { panic!("{:?}", templates(kernel)) };
    (place, kernel.template(place), state)
}

fn count(sweep: &Sweep) -> (u64, u64, u64) {
    let states = sweep.states;
    (states[State::Template as usize], states[State::TemplateHeld as usize], sweep.templates.iter().sum())
}

#[test]
fn a_template_lives_as_long_as_a_connection_that_goes_by_it_and_ends_after_the_last_one() {
    let mut kernel = kernel(1_024);
    configure(&mut kernel, persistence(), &[1, 1, 1, 1]);
    let port = next_port();
    let server = send(&kernel, 1, port, SYN);
    let (place, first, _) = only(&kernel);
    let second = u64::from(fast_clock().hz());
    assert_eq!(count(&kernel.sweep().unwrap()), (1, 0, 1));
    assert_eq!(only(&kernel).1, first, "there is time yet");
    wait_until(&kernel, first.expires - 10 * second);
    assert_eq!(count(&kernel.sweep().unwrap()), (1, 0, 1));
    let (_, longer, _) = only(&kernel);
    assert_eq!(longer.expires, first.expires + u64::from(Template::KEPT) * second);
    wait_until(&kernel, first.expires);
    assert_eq!(send(&kernel, 1, port, ACK), server);
    assert_eq!(only(&kernel).2, State::TemplateHeld);
    assert_eq!(count(&kernel.sweep().unwrap()), (0, 1, 1));
    assert_eq!(only(&kernel).1, longer, "as long as it takes");
    assert_eq!(send(&kernel, 1, next_port(), SYN), server, "after its time, and known");
    assert_eq!(only(&kernel).0, place);
    assert_eq!(
        kernel.load_of(templates(&kernel)[0].1).connections,
        [0, 2],
        "two connections and no template"
    );
}

#[test]
fn a_template_that_no_connection_goes_by_ends_in_its_time() {
    let mut kernel = kernel(1_024);
    configure(&mut kernel, persistence(), &[1, 1, 1, 1]);
    let port = next_port();
    send(&kernel, 1, port, SYN);
    send(&kernel, 1, port, ACK);
    send(&kernel, 1, port, RST);
    // CLOSE lasts 10 s, and the template longer.
    let (_, template, state) = only(&kernel);
    assert_eq!(state, State::TemplateHeld);
    wait_until(&kernel, template.expires - u64::from(fast_clock().hz()));
    assert_eq!(count(&kernel.sweep().unwrap()), (0, 1, 1), "the connection is over, the template is not");
    assert_eq!(only(&kernel).1.expires, template.expires, "nothing keeps it");
    wait_until(&kernel, template.expires);
    assert_eq!(count(&kernel.sweep().unwrap()), (0, 0, 0));
    assert_eq!(templates(&kernel), []);
}

#[test]
fn templates_of_a_real_server_that_was_removed_end_with_it() {
    let mut kernel = kernel(1_024);
    configure(&mut kernel, persistence(), &[1, 1]);
    for client in 0..4 {
        send(&kernel, client, next_port(), SYN);
    }
    assert_eq!(templates(&kernel).len(), 4);
    configure(&mut kernel, persistence(), &[1]);
    let sweep = kernel.sweep().unwrap();
    assert_eq!(count(&sweep), (2, 0, 2));
    let numbers: Vec<u32> = templates(&kernel).iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers[0], numbers[1], "of one real server");
    assert_eq!(sweep.templates[numbers[0] as usize], 2);
}

#[test]
fn who_has_lost_its_template_keeps_nobody_elses() {
    let mut kernel = kernel(1);
    configure(&mut kernel, persistence(), &[1]);
    send(&kernel, 1, next_port(), SYN);
    let (place, first, _) = only(&kernel);
    // There is one line, and one real server. Somebody takes the place.
    let taken = (2..100).find_map(|client| {
        let port = next_port();
        send(&kernel, client, port, SYN);
        (kernel.template(place).client != first.client).then_some((client, port))
    });
    let (client, port) = taken.unwrap();
    send(&kernel, client, port, ACK);
    send(&kernel, client, port, RST);
    let template = kernel.template(place);
    // Its own connection ends: CLOSE lasts 10 s, SYN_RECV longer.
    wait_until(&kernel, kernel.jiffies().unwrap() + 12 * u64::from(fast_clock().hz()));
    let sweep = kernel.sweep().unwrap();
    assert!(sweep.states[State::SynReceived as usize] > 0, "the first one's is there");
    assert_eq!(kernel.template(place), template, "which doesn't keep the other one's template");
}

#[test]
fn a_service_takes_its_clients_with_it() {
    let mut kernel = kernel(1_024);
    configure(&mut kernel, persistence(), &[1, 1]);
    send(&kernel, 1, next_port(), SYN);
    assert_eq!(templates(&kernel).len(), 1);
    let other = Endpoint { protocol: TCP, address: SERVICE, port: 81 };
    let destinations = vec![real_server(1, 1, Health::Up).wanted(&other)];
    let service = WantedService::new(other.key(), Scheduler::Rr, destinations);
    apply(&mut kernel, vec![service], Options::DEFAULT);
    assert_eq!(templates(&kernel), []);
    assert!(kernel.held().unwrap().services.values().all(|service| !service.persistence.is_some()));
}
