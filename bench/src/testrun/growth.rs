//! How the cost of a packet grows with what is configured: services, real servers, flows.
//!
//! Each size has tables of its own. They are measured round by round, each size in each round, so that a
//! curve is no machine's mood.

use lb_user::model::Scheduler;

use super::{
    Size,
    cases::{Case, PLAIN},
    tables::Service,
};

/// All sizes. What grows, and to what, is the last part of a case's name.
pub(super) fn sizes(most: u32) -> Vec<Size> {
    let up_to = |sizes: &[u32]| sizes.iter().copied().filter(|&size| size <= most).collect::<Vec<_>>();
    let opened = if most < 1 << 16 { 1 << 10 } else { 1 << 16 };
    let mut all: Vec<Size> = Vec::new();
    for services in up_to(&[1, 10, 100, 1_000, 10_000]) {
        let name = |case: &str| format!("{case}/services-{services}");
        // The one that is measured is the last one.
        let mut those = vec![Service { scheduler: Scheduler::Wrr, ..PLAIN }; services as usize - 1];
        those.push(PLAIN);
        let cases = vec![
            Case::new(&name("direct/tcp4/established"), PLAIN, 1),
            Case::opening(&name("direct/tcp4/new"), PLAIN, opened),
        ];
        all.push(Size { services: those, cases });
    }
    for real_servers in up_to(&[3, 16, 64, 256, 1_024, 4_096]) {
        let name = |case: &str| format!("{case}/real-servers-{real_servers}");
        let those = [Scheduler::Rr, Scheduler::Wlc, Scheduler::Maglev].map(|scheduler| Service {
            scheduler,
            real_servers,
            ..PLAIN
        });
        let cases = those.iter().flat_map(|&service| {
            let established = Case::new(&name("direct/tcp4/established"), service, 1 << 10);
            [established, Case::opening(&name("direct/tcp4/new"), service, opened)]
        });
        all.push(Size { cases: cases.collect(), services: those.to_vec() });
    }
    for flows in up_to(&[1, 1 << 6, 1 << 10, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22]) {
        let name = format!("direct/tcp4/established/flows-{flows}");
        let those = [Scheduler::Rr, Scheduler::Maglev].map(|scheduler| Service { scheduler, ..PLAIN });
        let cases = those.iter().map(|&service| Case::new(&name, service, flows));
        all.push(Size { cases: cases.collect(), services: those.to_vec() });
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_size_is_a_row_of_its_own_and_says_what_grows() {
        let mut seen = BTreeSet::new();
        for Size { services, cases } in sizes(1 << 22) {
            for case in cases {
                assert!(seen.insert((case.name.clone(), case.subject())), "{}", case.label());
                assert!(services.contains(&case.service), "{}", case.label());
                let size = case.name.rsplit('-').next().and_then(|size| size.parse::<u32>().ok());
                assert!(size.is_some(), "{}", case.name);
            }
        }
    }
}
