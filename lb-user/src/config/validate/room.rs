//! Whether everything together fits the tables whose sizes the file sets.

use super::Report;
use crate::{
    config::{error::Problem, raw::Raw},
    model::{ForwardMethod, Model},
};

/// Refuses the first service or real server for which each table has no room.
///
/// `model` was made of `raw` without refusing anything: their lists run in parallel.
pub(super) fn check(model: &Model, raw: &Raw, report: &mut Report<'_>) {
    let sizes = model.director.tables;
    if let Some(one_more) = raw.virtual_service.get(sizes.services as usize) {
        let (what, key, size) = ("virtual services", "services", sizes.services);
        report.refuse(one_more, Problem::TableFull { what, key, size });
    }

    let real_servers = raw.virtual_service.iter().flat_map(|service| &service.get_ref().real_server);
    let mut destinations = 0;
    let mut of_model = model.services.iter().flat_map(|service| &service.real_servers);
    let full = of_model.position(|server| {
        // The replies of a masqueraded one have a place of their own.
        destinations += 1 + u32::from(server.forward == ForwardMethod::Masquerade);
        destinations > sizes.destinations
    });
    if let Some(one_more) = full.and_then(|i| real_servers.into_iter().nth(i)) {
        let (what, key, size) = ("real servers of all services", "destinations", sizes.destinations);
        report.refuse(one_more, Problem::TableFull { what, key, size });
    }

    let mut entries = 0;
    let full = model.services.iter().position(|service| {
        entries += service.guard.entries();
        entries > u64::from(sizes.sources)
    });
    if let Some(one_more) = full.and_then(|i| raw.virtual_service.get(i)) {
        let (what, key, size) = ("prefixes in the lists of all services", "sources", sizes.sources);
        report.refuse(one_more, Problem::TableFull { what, key, size });
    }

    let mut slots = 0;
    let full = model.services.iter().position(|service| {
        slots += service.ring_slots();
        slots > u64::from(sizes.ring_slots)
    });
    if let Some(one_more) = full.and_then(|i| raw.virtual_service.get(i)) {
        let (what, key, size) = ("slots in the rings of all services", "ring_slots", sizes.ring_slots);
        report.refuse(one_more, Problem::TableFull { what, key, size });
    }
}
