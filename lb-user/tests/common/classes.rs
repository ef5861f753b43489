//! Classes and services by mark as a plan wants them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lb_common::wire::{Rule, ServiceKey};
use lb_user::class;
use lb_user::model::Class;

use crate::common::services::Endpoint;

/// The service of a mark.
pub(crate) fn marked(mark: u32, is_v6: bool) -> Endpoint {
    let [a, b, c, d] = mark.to_be_bytes();
    let address = if is_v6 {
        IpAddr::from([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    } else {
        IpAddr::from([a, b, c, d])
    };
    Endpoint { protocol: 0, address, port: 0 }
}

/// The rules of classes by address. Interfaces are called by their numbers.
pub(crate) fn rules(classes: &[Class]) -> BTreeMap<ServiceKey, Vec<Rule>> {
    let addresses: BTreeSet<IpAddr> =
        classes.iter().flat_map(|class| class.addresses.iter().copied()).collect();
    let of = |address| {
        let key = Endpoint { protocol: 0, address, port: 0 }.key();
        (key, class::rules(classes, address, |name| name.parse().ok()))
    };
    addresses.into_iter().map(of).collect()
}
