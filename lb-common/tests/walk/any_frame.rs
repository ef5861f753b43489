//! Any frame, and whatever a few wrong bytes make of it: etherparse finds the same in it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use etherparse::{EtherType, Ethernet2Slice, SingleVlanSlice};
use lb_common::net::Tag;
use lb_common::walk::{Content, Stop};
use proptest::test_runner::{Config, TestRunner};

use super::judge::{
    assert_alike, expected_content, is_excused, is_stop_excused, is_unknown_to_the_judge, judge, judge_quote,
};
use super::plan::plan;
use super::read;

const CASES: u32 = if cfg!(miri) { 40 } else { 10_000 };

#[test]
fn etherparse_finds_the_same_in_any_frame() {
    let met = RefCell::new(BTreeMap::<String, u32>::new());
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let result = runner.run(&plan(), |plan| {
        let what = compare(&plan.frame());
        *met.borrow_mut().entry(what).or_default() += 1;
        Ok(())
    });
    result.unwrap();
    let met = met.into_inner();
    let expected = [
        "Content(0) true",
        "Content(1) true",
        "Content(2) true",
        "Content(4) false",
        "Content(1) false",
        "Content(3) Content(0)",
        "Content(3) Content(1)",
        "Content(3) Content(4)",
        "ManyExtensions",
        "NestedFragment",
        "TotalLength",
        "TransportLength",
        "Truncated",
        "TruncatedQuote",
        "three tags",
    ];
    for what in expected {
        assert!(cfg!(miri) || met.contains_key(what), "{what} was never met: {met:#?}");
    }
}

/// Compares what we and etherparse make of a frame; a word for what it was.
fn compare(bytes: &[u8]) -> String {
    let ours = read(bytes);
    let Ok(ethernet) = Ethernet2Slice::from_slice_without_fcs(bytes) else {
        assert_eq!(ours, Err(Stop::Truncated));
        return "no Ethernet header".to_owned();
    };
    let (mut ether_type, mut at, mut tags) = (ethernet.ether_type(), 14, Vec::new());
    while [EtherType::VLAN_TAGGED_FRAME, EtherType::PROVIDER_BRIDGING].contains(&ether_type) {
        if tags.len() == 2 {
            assert_eq!(ours, Err(Stop::ManyTags));
            return "three tags".to_owned();
        }
        let Ok(tag) = SingleVlanSlice::from_slice(&bytes[at..]) else {
            assert_eq!(ours, Err(Stop::Truncated));
            return "half a tag".to_owned();
        };
        tags.push((ether_type.0, tag.vlan_identifier().value()));
        (ether_type, at) = (tag.ether_type(), at + 4);
    }
    let is_v6 = match ether_type {
        EtherType::IPV4 => false,
        EtherType::IPV6 => true,
        _ => {
            assert_eq!(ours, Err(Stop::NotIp));
            return "not IP".to_owned();
        }
    };
    let packet = &bytes[at..];
    if is_v6 && packet.len() >= 40 && packet[4..6] == [0, 0] {
        // Etherparse takes this for a jumbogram.
        return "no payload".to_owned();
    }
    let found = match (judge(is_v6, packet), &ours) {
        (Err(_), Err(stop)) => return format!("{stop:?}"),
        (Err(error), Ok(walked)) => {
            assert!(is_excused(&walked.datagram, error.as_ref()), "{error:?} {walked:?}");
            return "excused".to_owned();
        }
        (Ok(found), _) => found,
    };
    let payload = &packet[found.transport..found.end];
    let expected = expected_content(is_v6, &found, payload);
    let quote = (expected.map(|expected| expected.0) == Some(Content::ERROR))
        .then(|| judge_quote(is_v6, &payload[8..], at + found.transport + 8));
    let walked = match ours {
        Ok(walked) => walked,
        Err(stop) => {
            let is_excused = is_stop_excused(stop, &found, at)
                || expected.is_none() && matches!(stop, Stop::Truncated | Stop::TransportLength)
                || quote.is_some_and(|quote| quote.may_stop(stop));
            assert!(is_excused, "{stop:?} {found:?}");
            return format!("{stop:?}");
        }
    };
    assert_alike(&walked.datagram, &found, at);
    assert_eq!(walked.datagram.end as usize, at + found.end);
    assert_eq!(walked.datagram.bytes as usize, found.end);
    let ours: Vec<_> = walked.tags.iter().filter(|tag| **tag != Tag::NONE).collect();
    let ours: Vec<_> = ours.iter().map(|tag| (u16::from_be_bytes(tag.ether_type()), tag.vlan())).collect();
    assert_eq!(ours, tags);
    if is_unknown_to_the_judge(&found) {
        return "not followed by the judge".to_owned();
    }
    let content = walked.datagram.content;
    assert_eq!(Some((content, walked.datagram.ports, walked.tcp_flags.0, walked.icmp)), expected);
    match quote {
        Some(quote) => format!("{content:?} {}", quote.compare(&walked.quote)),
        None => format!("{content:?} {:?}", walked.datagram.fragment.is_whole()),
    }
}
