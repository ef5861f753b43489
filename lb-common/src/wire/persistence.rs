//! Persistence: how a service remembers its clients, and what it remembers of one.
//!
//! A template stands in lines of the flow table that no connection stands in. Its entry says where its client
//! goes, its state word when it ends at the latest; the rest is in its record.

use bytemuck::{Pod, Zeroable};

use super::{Clock, Connection, SPAN_MAX, State, Tick};

/// How a service remembers its clients. A part of [`super::Service`]; zeros: it doesn't.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Persistence {
    /// Which bits of a client's address count, as the address lies, in native words; the second is 0 for IPv4.
    pub mask: [u64; 2],
    /// For how many jiffies a client without new connections is remembered; 0: the service is not persistent.
    pub timeout: u32,
    /// The same in ticks, rounded up ([`Clock::span`]).
    pub span: u32,
}

const _: () = assert!(size_of::<Persistence>() == 24);

impl Persistence {
    /// Of a service without.
    pub const NONE: Self = Self { mask: [0; 2], timeout: 0, span: 0 };

    /// For so many seconds (1 to 31 days, as ipvsadm(8) has them). `mask` has the bits of an address that count,
    /// as [`super::ServiceKey::address`] has an address.
    pub fn new(seconds: u32, mask: [u8; 16], clock: Clock) -> Self {
        let jiffies = u64::from(seconds) * u64::from(clock.hz());
        Self {
            mask: bytemuck::cast(mask),
            timeout: u32::try_from(jiffies).unwrap_or(u32::MAX).max(1),
            span: clock.span(seconds),
        }
    }

    /// Whether there is any.
    pub const fn is_some(&self) -> bool {
        self.timeout != 0
    }

    /// What counts of a client's address.
    #[inline(always)]
    pub const fn client(&self, address: [u64; 2]) -> [u64; 2] {
        [address[0] & self.mask[0], address[1] & self.mask[1]]
    }
}

/// What the flow table's entry doesn't say of a template. It lies where a connection's record would, in the same
/// words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Template {
    /// What counts of the client's address, see [`Persistence::client`].
    pub client: [u64; 2],
    /// When it ends, in jiffies: from then on it is nobody's.
    pub expires: u64,
    /// How many jiffies after its last connection began that is, unless connections keep it for longer.
    pub timeout: u32,
    /// The index of its service.
    pub service: u32,
    /// Reserved, 0.
    pub reserved: [u64; 4],
}

const _: () = assert!(size_of::<Template>() == size_of::<Connection>());

impl Template {
    /// The word of [`Self::expires`].
    pub const EXPIRES: usize = 2;
    /// The word of [`Self::timeout`] (its low half) and [`Self::service`].
    pub const SERVICE: usize = 3;

    /// How much longer a template is kept at a time by connections that go by it, in seconds, as in LVS
    /// (Linux 6.12, `ip_vs_conn_expire`).
    pub const KEPT: u32 = 60;
    /// So many seconds before its end that is decided: the next sweep, which takes all connections, may be that
    /// far ahead.
    pub const LOOK_AHEAD: u32 = 20;
}

impl State {
    /// The state word of a template that goes on to end `span` ticks after `now`, and whose state stays: its tick
    /// is one that makes it over then, by the comparison by which a connection is.
    ///
    /// It says the end and not the beginning, since templates don't all last equally long.
    #[inline(always)]
    pub const fn ending(word: u32, now: Tick, span: u32) -> u32 {
        word >> Tick::BITS << Tick::BITS | now.plus(span.wrapping_sub(SPAN_MAX)).number()
    }

    /// The word of a template that becomes held; any other stays as it is. The time stays.
    #[inline(always)]
    pub const fn held(word: u32) -> u32 {
        word.wrapping_add(((word >> Tick::BITS == Self::Template as u32) as u32) << Tick::BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Timeouts;

    #[test]
    fn a_template_is_over_after_its_span_whatever_that_is() {
        for hz in [24, 100, 250, 1000] {
            let clock = Clock::new(hz);
            let timeouts = Timeouts::new(900, 120, 300, clock);
            for begin in [0, 77_777, u64::from(u32::MAX) << clock.shift()] {
                for seconds in [1, 10, 360, 31 * 86_400] {
                    let persistence = Persistence::new(seconds, [0xff; 16], clock);
                    let first = State::ending(State::Template.at(Tick::ZERO), Tick::ZERO, persistence.span);
                    let word = State::later(first, clock.tick(begin));
                    assert_eq!(State::ending(word, clock.tick(begin), persistence.span), word);
                    assert_eq!(State::of(word), State::Template);
                    let after = |jiffies: u64| clock.tick(begin + jiffies);
                    let timeout = u64::from(persistence.timeout);
                    assert_eq!(timeout, u64::from(seconds) * u64::from(hz));
                    assert!(!timeouts.is_over(word, after(0)), "{hz} Hz, {seconds} s");
                    assert!(!timeouts.is_over(word, after(timeout)), "{hz} Hz, {seconds} s");
                    assert!(
                        timeouts.is_over(word, after(timeout + 4 * u64::from(hz))),
                        "{hz} Hz, {seconds} s"
                    );
                }
            }
        }
    }

    #[test]
    fn a_template_that_becomes_held_ends_when_it_did() {
        let tick = Clock::new(250).tick(12_345);
        assert_eq!(State::held(State::Template.at(tick)), State::TemplateHeld.at(tick));
        for state in State::ALL.into_iter().filter(|&state| state != State::Template) {
            assert_eq!(State::held(state.at(tick)), state.at(tick));
        }
    }

    #[test]
    fn words_are_where_they_are_said_to_be() {
        let template = Template { client: [1, 2], expires: 3, timeout: 4, service: 5, reserved: [0; 4] };
        let words: [u64; Connection::WORDS] = bytemuck::cast(template);
        assert_eq!(words[Template::EXPIRES], 3);
        assert_eq!(words[Template::SERVICE], 4 | 5 << 32);
        assert_eq!(words[Connection::LINKS], 0, "it goes by no other");
    }

    #[test]
    fn a_mask_leaves_of_a_client_what_counts() {
        let clock = Clock::new(250);
        let mask = |bytes: &[u8]| {
            let mut mask = [0; 16];
            mask[..bytes.len()].copy_from_slice(bytes);
            Persistence::new(360, mask, clock)
        };
        let address = |bytes: [u8; 16]| bytemuck::cast::<_, [u64; 2]>(bytes);
        let v4 = address([192, 0, 2, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let net = address([192, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(mask(&[255, 255, 255, 0]).client(v4), net);
        assert_eq!(mask(&[255; 4]).client(v4), v4);
        assert_eq!(mask(&[255; 16]).client(address([9; 16])), address([9; 16]));
    }
}
