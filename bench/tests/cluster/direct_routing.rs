//! Real requests through a real director: who answers, in which order.

use super::config::{CHECK, Service, config};
use lb_bench::lab::{Answers, OneArm};

const V4: &str = "10.0.0.50:80";
const V6: &str = "[fd00:10::50]:80";

fn service<'a>(address: &'a str, scheduler: &'a str, real_servers: &'a [(&'a str, u32)]) -> Service<'a> {
    Service { address, protocol: "tcp", scheduler, real_servers, check: CHECK }
}

/// The numbers of the real servers in the order in which they answered.
fn order(answers: &Answers) -> Vec<u32> {
    answers.bodies().map(|body| body.trim_start_matches("rs").parse().unwrap()).collect()
}

fn repeated(cycle: &[u32], times: usize) -> Vec<u32> {
    cycle.iter().copied().cycle().take(times).collect()
}

#[test]
fn three_thousand_requests_by_rr_are_a_thousand_each_in_lvs_order() {
    let lab = OneArm::new("rr", 3).unwrap();
    let _servers = lab.http_servers(80).unwrap();
    let _director = lab
        .director
        .director(&config(
            "",
            &[
                service(V4, "rr", &[("10.0.0.11:80", 1), ("10.0.0.12:80", 1), ("10.0.0.13:80", 1)]),
                service(
                    V6,
                    "rr",
                    &[("[fd00:10::11]:80", 1), ("[fd00:10::12]:80", 1), ("[fd00:10::13]:80", 1)],
                ),
            ],
        ))
        .unwrap();
    for url in ["http://10.0.0.50/", "http://[fd00:10::50]/"] {
        let answers = lab.client.curl(url, 3000).unwrap();
        assert_eq!(answers.failed(), 0, "{url}: {:?}", answers.failures().next());
        assert_eq!(order(&answers), repeated(&[3, 2, 1], 3000), "{url}");
    }
}

#[test]
fn wrr_5_3_2_picks_as_lvs_does() {
    let lab = OneArm::new("wrr", 3).unwrap();
    let _servers = lab.http_servers(80).unwrap();
    let _director = lab
        .director
        .director(&config(
            "",
            &[
                service(V4, "wrr", &[("10.0.0.11:80", 5), ("10.0.0.12:80", 3), ("10.0.0.13:80", 2)]),
                service(
                    V6,
                    "wrr",
                    &[("[fd00:10::11]:80", 5), ("[fd00:10::12]:80", 3), ("[fd00:10::13]:80", 2)],
                ),
            ],
        ))
        .unwrap();
    // The current weight stands at 1 after the servers were added, then falls from 5.
    let cycle = [3, 2, 1, 1, 1, 2, 1, 3, 2, 1];
    for url in ["http://10.0.0.50/", "http://[fd00:10::50]/"] {
        let answers = lab.client.curl(url, 3000).unwrap();
        assert_eq!(answers.failed(), 0, "{url}: {:?}", answers.failures().next());
        assert_eq!(order(&answers), repeated(&cycle, 3000), "{url}");
    }
}
