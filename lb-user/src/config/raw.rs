//! The file as TOML has it: keys, types, and where each value was; nothing about what they mean.
//!
//! Errors of serde are told again in TOML's words.

use serde::Deserialize;
use toml::{Spanned, de::DeTable};

use super::{
    duration::RawDuration,
    error::{Errors, Problem},
    list::RawList,
    source::Source,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default)]
    pub(super) director: RawDirector,
    #[serde(default)]
    pub(super) tables: RawTables,
    #[serde(default)]
    pub(super) class: Vec<Spanned<RawClass>>,
    #[serde(default)]
    pub(super) virtual_service: Vec<Spanned<RawVirtualService>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawDirector {
    #[serde(default)]
    pub(super) interfaces: Vec<Spanned<String>>,
    pub(super) xdp_mode: Option<Spanned<String>>,
    pub(super) metrics: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) peers: Vec<Spanned<String>>,
    pub(super) service_addresses: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) timeouts: RawTimeouts,
    #[serde(default)]
    pub(super) connections: RawConnections,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawTimeouts {
    pub(super) tcp: Option<Spanned<RawDuration>>,
    pub(super) tcp_fin: Option<Spanned<RawDuration>>,
    pub(super) udp: Option<Spanned<RawDuration>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawConnections {
    pub(super) conn_reuse_mode: Option<Spanned<i64>>,
    pub(super) expire_nodest_conn: Option<Spanned<bool>>,
    pub(super) sloppy_tcp: Option<Spanned<bool>>,
    pub(super) sloppy_sctp: Option<Spanned<bool>>,
    pub(super) expire_quiescent_template: Option<Spanned<bool>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawTables {
    pub(super) flows: Option<Spanned<i64>>,
    pub(super) services: Option<Spanned<i64>>,
    pub(super) destinations: Option<Spanned<i64>>,
    pub(super) ring_slots: Option<Spanned<i64>>,
    pub(super) sources: Option<Spanned<i64>>,
    pub(super) localities: Option<Spanned<i64>>,
    pub(super) templates: Option<Spanned<i64>>,
    pub(super) class_addresses: Option<Spanned<i64>>,
    pub(super) class_rules: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawClass {
    pub(super) mark: Spanned<i64>,
    pub(super) address: Spanned<RawList>,
    pub(super) protocol: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) ports: Vec<Spanned<String>>,
    pub(super) interface: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) source: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) not_source_mac: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawVirtualService {
    pub(super) protocol: Option<Spanned<String>>,
    pub(super) address: Option<Spanned<String>>,
    pub(super) mark: Option<Spanned<i64>>,
    pub(super) family: Option<Spanned<String>>,
    pub(super) scheduler: Spanned<String>,
    #[serde(default)]
    pub(super) scheduler_flags: Vec<Spanned<String>>,
    pub(super) ring_size: Option<Spanned<i64>>,
    pub(super) one_packet: Option<Spanned<bool>>,
    pub(super) persistent: Option<Spanned<RawPersistent>>,
    pub(super) netmask: Option<Spanned<RawNetmask>>,
    pub(super) new_flows_max: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) allow: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) deny: Vec<Spanned<String>>,
    pub(super) check: Option<Spanned<RawCheck>>,
    #[serde(default)]
    pub(super) real_server: Vec<Spanned<RawRealServer>>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected `true`, or a duration such as \"360s\", or a whole number of seconds"
)]
pub(super) enum RawPersistent {
    Switch(bool),
    Timeout(RawDuration),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a netmask such as \"255.255.255.0\", or a whole number of bits")]
pub(super) enum RawNetmask {
    Bits(i64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { type = \"tcp\" }")]
pub(super) struct RawCheck {
    #[serde(rename = "type")]
    pub(super) kind: Spanned<String>,
    pub(super) port: Option<Spanned<i64>>,
    pub(super) interval: Option<Spanned<RawDuration>>,
    pub(super) timeout: Option<Spanned<RawDuration>>,
    pub(super) rise: Option<Spanned<i64>>,
    pub(super) fall: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { address = \"10.0.0.11\" }")]
pub(super) struct RawRealServer {
    pub(super) name: Option<Spanned<String>>,
    pub(super) address: Spanned<String>,
    pub(super) weight: Option<Spanned<i64>>,
    pub(super) upper_threshold: Option<Spanned<i64>>,
    pub(super) lower_threshold: Option<Spanned<i64>>,
    pub(super) forward: Option<Spanned<String>>,
    pub(super) tunnel: Option<Spanned<RawTunnel>>,
    pub(super) interface: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { type = \"ipip\" }")]
pub(super) struct RawTunnel {
    #[serde(rename = "type")]
    pub(super) kind: Option<Spanned<String>>,
    pub(super) port: Option<Spanned<i64>>,
    pub(super) checksum: Option<Spanned<bool>>,
}

/// The file's values, or all its syntax errors, or the first that is no key or type of ours.
pub(super) fn read(source: &Source<'_>) -> Result<Raw, Errors> {
    let (table, errors) = DeTable::parse_recoverable(source.text);
    if !errors.is_empty() {
        return Err(syntax(errors, source));
    }
    Raw::deserialize(toml::Deserializer::from(table))
        .map_err(|error| told(source, offset(&error), error.message()).into())
}

fn syntax(mut errors: Vec<toml::de::Error>, source: &Source<'_>) -> Errors {
    errors.sort_by_key(offset);
    // What follows the first error of a line is mostly its echo.
    errors.dedup_by_key(|error| source.line(offset(error)));
    let told = |error: &toml::de::Error| {
        source.error(offset(error), Problem::Syntax(error.message().replace('\n', "; ")))
    };
    Errors::sorted(errors.iter().map(told).collect())
}

/// Where it begins.
fn offset(error: &toml::de::Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

/// An error of serde's derived code, which has it only as a message (serde 1.0, `serde::de::Error`).
fn told(source: &Source<'_>, offset: usize, message: &str) -> super::Error {
    let mut names = message.split('`').skip(1).step_by(2);
    let name = names.next().unwrap_or_default();
    if message.starts_with("missing field") {
        source.error_in(offset, name, Problem::Missing)
    } else if message.starts_with("unknown field") {
        source.error(offset, unknown_key(name, &names.collect::<Vec<_>>()))
    } else {
        source.error(offset, Problem::Type(wrong_type(message)))
    }
}

/// What keepalived.conf(5) calls keys of ours.
const ELSEWHERE: [(&str, &str); 2] =
    [("persistence_timeout", "persistent"), ("persistence_granularity", "netmask")];

fn unknown_key(key: &str, known: &[&str]) -> Problem {
    let elsewhere = ELSEWHERE.iter().find(|(other, ours)| *other == key && known.contains(ours));
    if let Some((_, ours)) = elsewhere {
        return Problem::Misspelled((*ours).to_owned());
    }
    let nearest = known.iter().map(|&known| (strsim::damerau_levenshtein(key, known), known)).min();
    match nearest {
        // A third of it may be wrong.
        Some((distance, nearest)) if distance * 3 <= nearest.len() => Problem::Misspelled(nearest.to_owned()),
        _ => Problem::UnknownKey(known.join(", ")),
    }
}

fn wrong_type(message: &str) -> String {
    let Some((found, expected)) =
        message.strip_prefix("invalid type: ").and_then(|types| types.split_once(", expected "))
    else {
        return message.to_owned();
    };
    let found = match found {
        "map" => "a table",
        "sequence" => "an array",
        found => found.trim_end_matches(" as i128"),
    };
    let expected = match expected {
        "i64" => "a whole number",
        "a sequence" => "an array, `[..]`, or `[[..]]` for tables",
        expected => expected,
    };
    format!("expected {expected}, found {found}")
}
