//! What can be wrong with a configuration, and the line that says so.
//!
//! All wording is in [`Problem`]; who finds a problem knows its place but not how it is told.

use std::{fmt, io, net::IpAddr};

use lb_common::director::COMPARED_MAX;
use lb_common::wire::{Family, PEERS_MAX, RING_SLOTS_MAX, RULES_MAX};

use crate::model::{Prefix, REAL_SERVERS_MAX, RingSize, ServiceId};

/// Why a configuration was refused: one error or more, in the order of the file.
///
/// Displayed as one line each, at most [`Errors::SHOWN`] of them and a last one that counts the rest.
#[derive(Debug, thiserror::Error)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// How many errors are displayed.
    pub const SHOWN: usize = 50;

    /// All of them, also those that are not displayed.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.0.iter()
    }

    /// Errors in the order of their lines.
    pub(super) fn sorted(mut errors: Vec<Error>) -> Self {
        errors.sort_by_key(|error| error.place.as_ref().map(|place| place.line));
        Self(errors)
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().take(Self::SHOWN).enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        match self.0.len().saturating_sub(Self::SHOWN) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// One reason why a configuration was refused. Displayed as one line.
#[derive(Debug)]
pub struct Error {
    /// The file, as the user named it.
    pub file: String,
    /// Where in the file; `None`: the file as a whole.
    pub place: Option<Place>,
    /// What is wrong, and what to do.
    pub problem: Problem,
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(Place { line, key }) = &self.place {
            write!(f, "{line}:")?;
            if let Some(key) = key {
                write!(f, " {key}:")?;
            }
        }
        write!(f, " {}", self.problem)
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// The key's path, `virtual_service[0].real_server[2].weight`, indices from 0.
    /// `None`: the text is no TOML there, so it has no keys.
    pub key: Option<String>,
}

/// What is wrong with a file, a key or a value.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "each variant's message says what it is, its fields are what the message shows"
)]
pub enum Problem {
    // The file.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is larger than {} MiB, which no configuration is", super::FILE_MAX >> 20)]
    TooLarge,
    #[error("byte 0x{byte:02x} is not UTF-8: save the file as UTF-8")]
    NotUtf8 { byte: u8 },

    // Syntax, keys, types.
    #[error("{0}")]
    Syntax(String),
    #[error("unknown key; did you mean `{0}`?")]
    Misspelled(String),
    #[error("unknown key; known here: {0}")]
    UnknownKey(String),
    #[error("missing: this key is required")]
    Missing,
    #[error("{0}")]
    Type(String),

    // Words.
    #[error("unknown {what} {word:?}; known: {known}")]
    UnknownWord { what: &'static str, word: String, known: String },
    #[error("{what} {word:?} is written \"{right}\" here")]
    OtherSpelling { what: &'static str, word: String, right: &'static str },
    #[error("{what} {word:?} is not supported yet; there is: {known}")]
    NotYet { what: &'static str, word: String, known: String },

    // Numbers and durations.
    #[error("{value} is out of range: {min} to {max}")]
    OutOfRange { value: i64, min: u32, max: u32 },
    #[error("{value} is out of range: 0 to {max} (0 drains)")]
    Weight { value: i64, max: u32 },
    #[error("{value} is no size of a ring, the nearest is {nearest}; there is: {}", sizes())]
    RingSize { value: i64, nearest: u32 },
    #[error("{text} is not a duration such as \"90s\", \"15m\" or \"500ms\": {reason}")]
    NotADuration { text: String, reason: String },
    #[error("{text} is out of range: {range}")]
    DurationOutOfRange { text: String, range: &'static str },
    #[error("{text} is not a whole number of seconds")]
    FractionOfSecond { text: String },
    #[error("a probe may not take longer than the interval: timeout is {timeout}, interval is {interval}")]
    TimeoutBeyondInterval { timeout: String, interval: String },

    // Addresses and names.
    #[error(
        "{0:?} is not an address with a port, such as 10.0.0.50:80 or [fd00::50]:80 (names are not looked up)"
    )]
    NotASocketAddress(String),
    #[error(
        "{0:?} is not an address, such as 10.0.0.11, 10.0.0.11:80 or [fd00::11]:80 (names are not looked up)"
    )]
    NotAnAddress(String),
    #[error(
        "{0:?} is neither an Ethernet address such as 02:00:00:00:00:12 nor an IP address such as 10.0.0.12"
    )]
    NotAPeer(String),
    #[error("{0:?} names an interface after `%`: write it as `interface` of the real server")]
    Scope(String),
    #[error("{0:?} has no port: name one, or port 0 for all that no other service has")]
    NoPort(String),
    #[error("port 0: leave the port out, it is the service's")]
    RealServerPortZero,
    #[error("{address} is {kind}: a unicast address is needed")]
    NotUnicast { address: String, kind: &'static str },
    #[error("{address} is an IPv4 address in IPv6 notation: write {ipv4}")]
    V4Mapped { address: IpAddr, ipv4: IpAddr },
    #[error("{0:?} is not an address, such as 10.0.0.50 or fd00::50 (names are not looked up)")]
    NotAnAddressAlone(String),
    #[error("{0:?} has a port: write it as `ports` of the class")]
    PortOfClass(String),
    #[error("a class has an address: name one, or several")]
    NoAddresses,
    #[error(
        "{0:?} is neither a port such as 80 nor a range such as 8000-8100; 1 to 65535, the lower one first"
    )]
    NotPorts(String),
    #[error(
        "{0:?} is not a prefix, such as 192.0.2.0/24, 2001:db8::/32 or an address (names are not looked up)"
    )]
    NotAPrefix(String),
    #[error("there are bits behind the prefix: write {prefix}")]
    BitsBehindPrefix { prefix: Prefix },
    #[error("{0:?} is not an Ethernet address such as 02:00:00:00:00:12")]
    NotAMac(String),
    #[error("{0:?} cannot be an interface's name: 1 to 15 bytes without blanks, `/` and `:`")]
    InterfaceName(String),
    #[error("{0:?} is not a netmask such as \"255.255.255.0\", or a number of bits such as 24")]
    NotANetmask(String),
    #[error("{0:?} is not a number of bits, 1 to 128, which a netmask of IPv6 addresses is")]
    NotAPrefixLength(String),
    #[error("{value} is out of range: a netmask leaves 1 to {max} bits of a client's address")]
    NetmaskBits { value: i64, max: u8 },
    #[error("a name has 1 to 64 characters, none of them a control character")]
    Name,

    // What belongs together.
    #[error("{what} is already at line {line}")]
    Duplicate { what: String, line: usize },
    #[error("missing: a service has `protocol` and `address`, or a `mark`")]
    NoEndpoint,
    #[error("a service by mark is for what a [[class]] with this mark says: leave {0} out")]
    NotOfMark(&'static str),
    #[error("the family of a service is its address's: leave this out, only a service by `mark` says it")]
    FamilyOfAddress,
    #[error("no [[class]] with this mark has an {} address: nothing would reach the service", told(*family))]
    MarkOfNoClass { family: Family },
    #[error(
        "a real server of {service} is masqueraded, and SCTP can't be: name the `protocol`, tcp or udp (both: a class for each)"
    )]
    ClassOfSctp { service: ServiceId },
    #[error("no `source` is of the family of {0}: nothing for it would belong to the class")]
    AddressWithoutSource(IpAddr),
    #[error("no `address` is of the family of {0}: nothing from there would belong to the class")]
    SourceWithoutAddress(Prefix),
    #[error("real server {address} has no port that this check could ask: write `port` here")]
    CheckWithoutPort { address: IpAddr },
    #[error("{address} cannot serve {service}: the address families differ")]
    Family { address: IpAddr, service: ServiceId },
    #[error(
        "{forward} does not change the port: {port} must be {service_port}, the service's (ipvsadm rewrites it silently)"
    )]
    PortDiffers { forward: &'static str, port: u16, service_port: u16 },
    #[error(
        "the service is for all ports, and {forward} does not change them: leave :{port} out (ipvsadm rewrites it silently)"
    )]
    PortOfAllPorts { forward: &'static str, port: u16 },
    #[error(
        "{address} is the service's own address: a packet sent there by {forward} comes back; this host is `forward = \"local\"`"
    )]
    OwnAddress { address: IpAddr, forward: &'static str },
    #[error("{0} is link-local: name the `interface` that it is reached by")]
    LinkLocal(IpAddr),
    #[error("a real server with `forward = \"local\"` is this host: leave `interface` out")]
    LocalInterface,
    #[error("{flag:?} is a flag of {of}, and the scheduler is {scheduler}: leave it out")]
    FlagOfAnother { flag: String, of: &'static str, scheduler: &'static str },
    #[error("the ring of {scheduler} has no size to choose, only those of mh and maglev have: leave it out")]
    NoRingSize { scheduler: &'static str },
    #[error("{prefix} holds no clients of {service}: the address families differ")]
    PrefixFamily { prefix: Prefix, service: ServiceId },
    #[error("{prefix} is allowed at line {line}: leave one of the two out")]
    AllowedAndDenied { prefix: Prefix, line: usize },
    #[error("one-packet scheduling is for udp services: TCP and SCTP need their connections. Leave this out")]
    OnePacketOfTcp,
    #[error(
        "a masqueraded real server's answers find their client by the connection, and one-packet scheduling keeps none: leave this out, or forward otherwise"
    )]
    OnePacketMasqueraded,
    #[error("SCTP can't be masqueraded: its checksum would have to be computed anew over the whole packet")]
    MasqueradedSctp,
    #[error(
        "nothing answers TCP on an SCTP port: give the check the `port` of something there that answers TCP, or leave the check out"
    )]
    TcpCheckOfSctp,
    #[error(
        "a service with `one_packet` keeps no connections, and a persistent one keeps even its clients: \
         leave one of the two out"
    )]
    PersistentOnePacket,
    #[error("only a persistent service has a netmask: write `persistent`, or leave this out")]
    NetmaskAlone,
    #[error(
        "{lower} is above the upper threshold, {upper}: a real server is overloaded from that one down to this"
    )]
    LowerAboveUpper { upper: u32, lower: u32 },
    #[error("only a real server with `forward = \"tunnel\"` has a tunnel: write that, or leave this out")]
    NoTunnel,
    #[error("a gue tunnel needs `port`, the real server's UDP port, 1 to 65535")]
    NoTunnelPort,
    #[error("a tunnel of type {kind} has no {what}: leave it out")]
    NotInTunnel { kind: &'static str, what: &'static str },

    // How much there is room for.
    #[error("a service has at most {REAL_SERVERS_MAX} real servers, this is one more")]
    TooManyRealServers,
    #[error(
        "where real servers have thresholds, {COMPARED_MAX} slots of a ring can be looked at, and the weights need \
         {slots}: use smaller weights, or such that share a divisor"
    )]
    RingTooLongForThresholds { slots: u64 },
    #[error(
        "with this class {address} has {rules} rules, {RULES_MAX} is the most: name fewer ports, sources and \
         Ethernet addresses, or join them to ranges and shorter prefixes"
    )]
    TooManyRules { address: IpAddr, rules: usize },
    #[error("a director has at most {PEERS_MAX} peers, this is one more")]
    TooManyPeers,
    #[error(
        "the weights need a ring of {slots} slots, {RING_SLOTS_MAX} is the most: use smaller weights, or such that share a divisor"
    )]
    RingTooLong { slots: u64 },
    #[error("more than {size} {what}: raise `tables.{key}`")]
    TableFull { what: &'static str, key: &'static str, size: u32 },
}

const fn told(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// The sizes of rings, as a list.
fn sizes() -> String {
    RingSize::PRIMES.map(|slots| slots.to_string()).join(", ")
}
