//! From classes to the rules of one address, in which packets are compared with them. Pure.
//!
//! It refuses to know which addresses are services', and where rules lie.

use std::net::IpAddr;

use lb_common::wire::{RULE_ENDS_CLASS, RULE_ENDS_CLAUSE, RULE_NEGATED, Rule};

use crate::model::{Class, Ports, Prefix};

/// What no interface has for an index (they are positive integers of C).
const NO_INTERFACE: u32 = u32::MAX;

/// The rules of an address: those of all classes that name it, in their order. `interface` tells the index (ifindex)
/// of a name; nothing comes in by one that it doesn't know.
///
/// What a class names once goes into one rule. Of what it names several times, each takes one: ports, sources of the
/// address's family, Ethernet addresses.
pub fn rules(classes: &[Class], address: IpAddr, interface: impl Fn(&str) -> Option<u32>) -> Vec<Rule> {
    let of_address = classes.iter().filter(|class| class.addresses.contains(&address));
    of_address.flat_map(|class| class_rules(class, address, &interface)).collect()
}

fn class_rules(class: &Class, address: IpAddr, interface: impl Fn(&str) -> Option<u32>) -> Vec<Rule> {
    let any = Rule { mark: class.mark, ..Rule::ANY };
    let mut common = any;
    if let Some(protocol) = class.protocol {
        (common.link, common.link_mask) = ((protocol as u64) << 48, 0xff << 48);
    }
    if let Some(name) = &class.interface {
        (common.interface, common.interface_mask) = (interface(name).unwrap_or(NO_INTERFACE), u32::MAX);
    }
    let family = |source: &&Prefix| source.address.is_ipv4() == address.is_ipv4();
    let sources: Vec<&Prefix> = class.sources.iter().filter(family).collect();

    let mut clauses: Vec<Vec<Rule>> = Vec::new();
    match class.ports.as_slice() {
        [one] => common = with_ports(common, *one),
        many => clauses.push(many.iter().map(|&ports| with_ports(any, ports)).collect()),
    }
    match sources.as_slice() {
        [one] => common = with_source(common, one),
        many => clauses.push(many.iter().map(|source| with_source(any, source)).collect()),
    }
    let negated = class.not_source_macs.iter().map(|&mac| vec![without_ethernet(any, mac)]);
    clauses.extend(negated);
    clauses.retain(|clause| !clause.is_empty());
    if common != any || clauses.is_empty() {
        clauses.insert(0, vec![common]);
    }

    for clause in &mut clauses {
        if let Some(last) = clause.last_mut() {
            last.link_mask |= RULE_ENDS_CLAUSE;
        }
    }
    let mut rules = clauses.concat();
    if let Some(last) = rules.last_mut() {
        last.link_mask |= RULE_ENDS_CLASS;
    }
    rules
}

const fn with_ports(rule: Rule, ports: Ports) -> Rule {
    Rule { ports: [ports.first, ports.last], ..rule }
}

fn with_source(rule: Rule, source: &Prefix) -> Rule {
    // Addresses as they lie: bytes, then words.
    let (address, mask) = match source.address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(source.length)).unwrap_or(0);
            (v4_bytes(address.octets()), v4_bytes(mask.to_be_bytes()))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(source.length)).unwrap_or(0);
            (address.octets(), mask.to_be_bytes())
        }
    };
    Rule { source: bytemuck::cast(address), source_mask: bytemuck::cast(mask), ..rule }
}

const fn v4_bytes([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

const fn without_ethernet(rule: Rule, [a, b, c, d, e, f]: [u8; 6]) -> Rule {
    let link = u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]);
    Rule { link, link_mask: ((1 << 48) - 1) | RULE_NEGATED, ..rule }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    fn class() -> Class {
        Class {
            mark: 7,
            addresses: vec![IpAddr::from([10, 0, 0, 50])],
            protocol: None,
            ports: Vec::new(),
            interface: None,
            sources: Vec::new(),
            not_source_macs: Vec::new(),
        }
    }

    fn count(class: &Class) -> usize {
        rules(std::slice::from_ref(class), IpAddr::from([10, 0, 0, 50]), |_| Some(3)).len()
    }

    #[test]
    fn a_class_takes_a_rule_for_each_of_what_it_names_several_times() {
        let ports = |count: u16| (1..=count).map(|first| Ports { first, last: first }).collect::<Vec<_>>();
        let sources =
            |count: u8| (0..count).map(|n| Prefix::of(IpAddr::from([192, 0, n, 0]), 24)).collect::<Vec<_>>();
        let bare = class();
        assert_eq!(count(&bare), 1);
        assert_eq!(count(&Class { ports: ports(1), sources: sources(1), ..bare.clone() }), 1);
        let many = Class { ports: ports(20), sources: sources(30), ..bare.clone() };
        assert_eq!(count(&many), 50);
        assert_eq!(count(&Class { protocol: Some(Protocol::Tcp), interface: Some("a".into()), ..many }), 51);
        assert_eq!(count(&Class { not_source_macs: vec![[2; 6], [4; 6]], ..bare.clone() }), 2);
        let other_family = vec![Prefix::of(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0]), 8); 3];
        assert_eq!(count(&Class { sources: other_family, ..bare.clone() }), 1);
        assert_eq!(rules(&[bare], IpAddr::from([10, 0, 0, 51]), |_| None), []);
    }

    #[test]
    fn nothing_comes_in_by_an_interface_that_is_not_there() {
        let class = Class { interface: Some("gone0".into()), ..class() };
        let rules = rules(&[class], IpAddr::from([10, 0, 0, 50]), |_| None);
        assert_eq!(rules.iter().map(|rule| rule.interface).collect::<Vec<_>>(), [NO_INTERFACE]);
    }
}
