//! `[[class]]`: which packets get a mark. Whether a service has it is judged here too, when both are known.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use lb_common::wire::{RULES_MAX, Rule};
use toml::Spanned;

use super::director::distinct;
use super::{Report, within};
use crate::{
    class::rules,
    config::{
        address,
        error::Problem,
        list::RawList,
        raw::{Raw, RawClass},
        words::PROTOCOL,
    },
    model::{Class, ForwardMethod, Model, Protocol, ServiceId},
};

pub(super) fn classes(raw: &[Spanned<RawClass>], report: &mut Report<'_>) -> Vec<Class> {
    raw.iter().filter_map(|raw| class(raw.get_ref(), report)).collect()
}

fn class(raw: &RawClass, report: &mut Report<'_>) -> Option<Class> {
    let mark = report.accept(&raw.mark, |&mark| within(mark, &(1..=u32::MAX)));
    let addresses = addresses(&raw.address, report);
    let protocol = report.accept_or(raw.protocol.as_ref(), None, |word| PROTOCOL.read(word).map(Some));
    let ports = distinct(&raw.ports, "the port", address::ports, report);
    let interface = report.accept_or(raw.interface.as_ref(), None, |text| address::interface(text).map(Some));
    let sources = distinct(&raw.source, "the source", address::prefix, report);
    let not_source_macs = distinct(&raw.not_source_mac, "the Ethernet address", address::source_mac, report);

    let is_v4 = |address: &IpAddr| address.is_ipv4();
    let without = addresses
        .iter()
        .find(|address| !sources.is_empty() && !sources.iter().any(|s| is_v4(&s.address) == is_v4(address)));
    if let Some(&address) = without {
        report.refuse(&raw.address, Problem::AddressWithoutSource(address));
    }
    for (source, at) in sources.iter().zip(&raw.source) {
        if !addresses.is_empty() && !addresses.iter().any(|address| is_v4(address) == is_v4(&source.address))
        {
            report.refuse(at, Problem::SourceWithoutAddress(*source));
        }
    }
    Some(Class { mark: mark?, addresses, protocol, ports, interface, sources, not_source_macs })
}

fn addresses(at: &Spanned<RawList>, report: &mut Report<'_>) -> Vec<IpAddr> {
    let list = match at.get_ref() {
        RawList::One(text) => return report.accept(at, |_| address::class(text)).into_iter().collect(),
        RawList::Many(list) => list,
    };
    if list.is_empty() {
        report.refuse(at, Problem::NoAddresses);
    }
    distinct(list, "the address", address::class, report)
}

/// Refuses services that nothing reaches, and classes for which there is no room.
///
/// `model` was made of `raw` without refusing anything: their lists run in parallel.
pub(super) fn check(model: &Model, raw: &Raw, report: &mut Report<'_>) {
    let marked: BTreeSet<ServiceId> = (model.classes.iter())
        .flat_map(|class| class.addresses.iter().map(|&address| ServiceId::of_mark(class.mark, address)))
        .collect();
    for (service, raw) in model.services.iter().zip(&raw.virtual_service) {
        if let (ServiceId::Mark { family, .. }, Some(at)) = (service.id, &raw.get_ref().mark)
            && !marked.contains(&service.id)
        {
            report.refuse(at, Problem::MarkOfNoClass { family });
        }
    }

    let masqueraded: BTreeSet<ServiceId> = (model.services.iter())
        .filter(|it| it.real_servers.iter().any(|server| server.forward == ForwardMethod::Masquerade))
        .map(|service| service.id)
        .collect();
    for (class, raw) in model.classes.iter().zip(&raw.class) {
        let ids = class.addresses.iter().map(|&address| ServiceId::of_mark(class.mark, address));
        let may_be_sctp = matches!(class.protocol, None | Some(Protocol::Sctp));
        if let Some(service) = ids.into_iter().find(|id| may_be_sctp && masqueraded.contains(id)) {
            report.refuse(raw, Problem::ClassOfSctp { service });
        }
    }

    let sizes = model.director.tables;
    // Which class is the first to name an address.
    let mut firsts: HashMap<IpAddr, usize> = HashMap::new();
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for (index, (class, raw)) in model.classes.iter().zip(&raw.class).enumerate() {
        for &address in &class.addresses {
            firsts.entry(address).or_insert(index);
            let own = rules(std::slice::from_ref(class), address, |_| None).len();
            let count = counts.entry(address).or_default();
            let before = *count;
            *count += own;
            if before <= RULES_MAX as usize && *count > RULES_MAX as usize {
                report.refuse(raw, Problem::TooManyRules { address, rules: *count });
            }
        }
        if firsts.len() > sizes.class_addresses as usize {
            let (what, key, size) = ("addresses of classes", "class_addresses", sizes.class_addresses);
            report.refuse(raw, Problem::TableFull { what, key, size });
            return;
        }
    }

    let mut lists: BTreeMap<usize, BTreeSet<Vec<Rule>>> = BTreeMap::new();
    // By one name, one index: what differs is told apart.
    let names: BTreeSet<&str> = model.classes.iter().filter_map(|class| class.interface.as_deref()).collect();
    let interface = |name: &str| names.iter().position(|known| *known == name).map(|place| place as u32 + 1);
    for address in model.service_addresses() {
        if let Some(&first) = firsts.get(&address) {
            lists.entry(first).or_default().insert(rules(&model.classes, address, interface));
        }
    }
    let (mut seen, mut room) = (BTreeSet::new(), sizes.class_rules as usize);
    for (first, lists) in lists {
        for list in lists {
            let count = list.len();
            if seen.insert(list) {
                let Some(rest) = room.checked_sub(count) else {
                    if let Some(at) = raw.class.get(first) {
                        let (what, key, size) = ("rules of classes", "class_rules", sizes.class_rules);
                        report.refuse(at, Problem::TableFull { what, key, size });
                    }
                    return;
                };
                room = rest;
            }
        }
    }
}
