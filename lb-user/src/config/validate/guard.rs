//! What stands before a service: `new_flows_max`, `allow` and `deny`.

use std::collections::HashMap;

use toml::Spanned;

use super::{Report, within};
use crate::{
    config::{address, error::Problem, raw::RawVirtualService},
    model::{Guard, NEW_FLOWS_MAX, Prefix, ServiceId, family_of},
};

pub(super) fn guard(raw: &RawVirtualService, service: ServiceId, report: &mut Report<'_>) -> Guard {
    let new_flows_max =
        report.accept_or(raw.new_flows_max.as_ref(), 0, |&number| within(number, &(1..=NEW_FLOWS_MAX)));
    let allow = list(&raw.allow, service, &HashMap::new(), report);
    let allowed: HashMap<_, _> = allow.iter().copied().collect();
    let deny = list(&raw.deny, service, &allowed, report);
    let prefixes = |list: Vec<(Prefix, _)>| list.into_iter().map(|(prefix, _)| prefix).collect();
    Guard { new_flows_max, allow: prefixes(allow), deny: prefixes(deny) }
}

/// The prefixes of a list, and where they are. `allowed`: those of the other one.
fn list<'a>(
    raw: &'a [Spanned<String>],
    service: ServiceId,
    allowed: &HashMap<Prefix, &Spanned<String>>,
    report: &mut Report<'_>,
) -> Vec<(Prefix, &'a Spanned<String>)> {
    let mut firsts = HashMap::new();
    let mut list = Vec::new();
    for at in raw {
        let Some(prefix) = report.accept(at, |text| of_family(address::prefix(text)?, service)) else {
            continue;
        };
        if let Some(first) = firsts.insert(prefix, at) {
            let what = format!("the prefix {prefix}");
            report.refuse(at, Problem::Duplicate { what, line: report.line(first) });
        }
        if let Some(first) = allowed.get(&prefix) {
            report.refuse(at, Problem::AllowedAndDenied { prefix, line: report.line(first) });
        }
        list.push((prefix, at));
    }
    list
}

fn of_family(prefix: Prefix, service: ServiceId) -> Result<Prefix, Problem> {
    if family_of(prefix.address) == service.family() {
        Ok(prefix)
    } else {
        Err(Problem::PrefixFamily { prefix, service })
    }
}
