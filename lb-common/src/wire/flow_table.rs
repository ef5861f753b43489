//! The flow table: one word an entry, one cache line a set.
//!
//! An entry is a keyed tag of 44 bits and a destination of 20, written and read whole. Beside it
//! stands a word of state and of the time when its flow was last seen. A flow may stand in one of
//! two lines. The table knows no tuple: the tag is all that it compares.

use bytemuck::{Pod, Zeroable};

/// Entries in a line.
pub const LINE_SLOTS: usize = 5;

/// An entry that is free.
pub const EMPTY: u64 = 0;
/// An entry that is being written: matches no tag, since no destination has this number.
pub const BUSY: u64 = 0xf_ffff;

/// The longest [`Clock::span`]: 2 years and more.
pub const SPAN_MAX: u32 = 1 << 27;

const DESTINATION_BITS: u32 = 20;
const DESTINATION_MASK: u64 = (1 << DESTINATION_BITS) - 1;

/// A set of the flow table: one cache line. One of [`super::Part::Flows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Line {
    /// [`EMPTY`], [`BUSY`] or [`entry`].
    pub entries: [u64; LINE_SLOTS],
    /// [`State`] and [`Tick`] of the entry of the same index, see [`State::at`].
    pub states: [u32; LINE_SLOTS],
    /// Reserved, 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Line>() == 64);

/// The tag's part of a flow's hash.
#[inline(always)]
pub const fn tag_of(hash: u64) -> u64 {
    hash & !DESTINATION_MASK
}

/// An entry of a tag and a destination's number (1 to [`super::DESTINATION_MAX`]).
#[inline(always)]
pub const fn entry(tag: u64, destination: u32) -> u64 {
    tag | destination as u64 & DESTINATION_MASK
}

/// The tag of an entry.
#[inline(always)]
pub const fn entry_tag(entry: u64) -> u64 {
    entry & !DESTINATION_MASK
}

/// The destination's number of an entry.
#[inline(always)]
pub const fn entry_destination(entry: u64) -> u32 {
    (entry & DESTINATION_MASK) as u32
}

/// The kernel's jiffies, and how many of them are a [`Tick`].
///
/// Jiffies because they cost a program one load, where any call for the time costs a third of a packet
/// (`bpf_jiffies64`, which Linux inlines from 5.6 on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    hz: u32,
}

impl Clock {
    /// The clock of a kernel that counts so many jiffies a second (`CONFIG_HZ`), 1 to 1,048,576.
    pub const fn new(hz: u32) -> Self {
        Self { hz: if hz == 0 { 1 } else { hz } }
    }

    /// Jiffies a second.
    pub const fn hz(self) -> u32 {
        self.hz
    }

    /// A tick is 2^`shift` jiffies, which is more than half a second and at most one: a division by a
    /// second would cost as much as the look-up.
    pub const fn shift(self) -> u32 {
        self.hz.ilog2()
    }

    /// The tick of a number of jiffies.
    pub const fn tick(self, jiffies: u64) -> Tick {
        Tick::from_jiffies(jiffies, self.shift())
    }

    /// How many in a tick are so many a second, rounded up; 0 for 0.
    pub const fn per_tick(self, per_second: u32) -> u32 {
        // A tick is a second or less.
        ((per_second as u64) << self.shift()).div_ceil(self.hz as u64) as u32
    }

    /// What [`Tick::since`] is after so many seconds, rounded up; at most [`SPAN_MAX`].
    pub const fn span(self, seconds: u32) -> u32 {
        let ticks = (seconds as u64 * self.hz as u64).div_ceil(1 << self.shift()) + 1;
        if ticks > SPAN_MAX as u64 { SPAN_MAX } else { ticks as u32 }
    }
}

/// Time as the flow table keeps it: units of half a second to a second (see [`Clock`]), modulo 2^28 (4 years
/// and more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tick(u32);

impl Tick {
    /// Bits of a state word that are its tick.
    pub const BITS: u32 = 28;
    const MASK: u32 = (1 << Self::BITS) - 1;

    /// The beginning of time.
    pub const ZERO: Self = Self(0);

    /// The tick of a number of jiffies, of which 2^`shift` are one, see [`Clock::shift`].
    #[inline(always)]
    pub const fn from_jiffies(jiffies: u64, shift: u32) -> Self {
        Self((jiffies >> (shift & 63)) as u32 & Self::MASK)
    }

    /// Its number.
    #[inline(always)]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// So many ticks later.
    #[inline(always)]
    #[must_use]
    pub const fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks) & Self::MASK)
    }

    /// How many ticks passed since `earlier`, plus one.
    ///
    /// Another CPU's clock may have ticked already: a time that is ahead by one is 0, not nine years.
    #[inline(always)]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_add(1).wrapping_sub(earlier.0) & Self::MASK
    }
}

/// The state of a connection, with LVS's names (ipvsadm -L -c). Numbers are stable: they lie in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Nothing known; what a zeroed table holds.
    None = 0,
    /// TCP: SYN seen.
    SynReceived = 1,
    /// TCP: data flows.
    Established = 2,
    /// TCP: the client has ended its direction.
    FinWait = 3,
    /// TCP: reset.
    Close = 4,
    /// UDP: one datagram seen; whoever sent it may not exist.
    UdpNew = 5,
    /// UDP: more than one seen.
    Udp = 6,
    /// TCP: ended before it was established, or in both directions.
    TimeWait = 7,
    /// No connection: where the fragments of one datagram go.
    Fragment = 8,
    /// No connection: where a client's connections to a persistent service go (LVS's template state NONE).
    Template = 9,
    /// Such a one that a connection goes by that has proven itself (LVS's ASSURED).
    TemplateHeld = 10,
    /// TCP, both directions seen: the real server has sent a SYN of its own.
    SynSent = 11,
    /// TCP, both directions seen: the client has ended its direction first. SCTP: the client has shut down
    /// (SHUTDOWN_RECEIVED).
    CloseWait = 12,
    /// SCTP: INIT seen.
    SctpInit = 13,
    /// SCTP: data flows.
    SctpEstablished = 14,
    /// SCTP: ended.
    SctpClosed = 15,
}

impl State {
    /// Numbers that a state can have; not all of them are in use.
    pub const NUMBERS: usize = 16;

    /// Every state, in the order of its number.
    pub const ALL: [Self; 16] = [
        Self::None,
        Self::SynReceived,
        Self::Established,
        Self::FinWait,
        Self::Close,
        Self::UdpNew,
        Self::Udp,
        Self::TimeWait,
        Self::Fragment,
        Self::Template,
        Self::TemplateHeld,
        Self::SynSent,
        Self::CloseWait,
        Self::SctpInit,
        Self::SctpEstablished,
        Self::SctpClosed,
    ];

    /// The word of a state last seen at a tick.
    #[inline(always)]
    pub const fn at(self, seen: Tick) -> u32 {
        (self as u32) << Tick::BITS | seen.0
    }

    /// The state of a word. Numbers that are not in use are [`State::None`].
    #[inline(always)]
    pub const fn of(word: u32) -> Self {
        match word >> Tick::BITS {
            1 => Self::SynReceived,
            2 => Self::Established,
            3 => Self::FinWait,
            4 => Self::Close,
            5 => Self::UdpNew,
            6 => Self::Udp,
            7 => Self::TimeWait,
            8 => Self::Fragment,
            9 => Self::Template,
            10 => Self::TemplateHeld,
            11 => Self::SynSent,
            12 => Self::CloseWait,
            13 => Self::SctpInit,
            14 => Self::SctpEstablished,
            15 => Self::SctpClosed,
            _ => Self::None,
        }
    }

    /// A word whose tick was counted from `now`.
    #[inline(always)]
    pub const fn later(word: u32, now: Tick) -> u32 {
        word & !Tick::MASK | now.plus(word).0
    }

    /// When the flow of a word was last seen.
    #[inline(always)]
    pub const fn seen(word: u32) -> Tick {
        Tick(word & Tick::MASK)
    }

    /// 1 for a state word that counts as ActiveConn, 0 for one that counts as InActConn
    /// (Linux 6.12, `tcp_state_active_table`; of SCTP ESTABLISHED alone). A number, since a branch is one more way
    /// to verify.
    #[inline(always)]
    pub const fn activity(word: u32) -> usize {
        const ACTIVE: u32 = 1 << State::SynReceived as u32
            | 1 << State::Established as u32
            | 1 << State::SynSent as u32
            | 1 << State::SctpEstablished as u32;
        (ACTIVE >> (word >> Tick::BITS) & 1) as usize
    }

    /// 1 for a state word of a connection, which its destination's [`super::Load`] counts; 0 for one of fragments
    /// and for a template.
    #[inline(always)]
    pub const fn weight(word: u32) -> i32 {
        const NONE: u32 =
            1 << State::Fragment as u32 | 1 << State::Template as u32 | 1 << State::TemplateHeld as u32;
        (!NONE >> (word >> Tick::BITS) & 1).cast_signed()
    }

    /// 1 for a state word of a template, 0 for all others. A number, as [`Self::activity`].
    #[inline(always)]
    pub const fn template(word: u32) -> u32 {
        const TEMPLATES: u32 = 1 << State::Template as u32 | 1 << State::TemplateHeld as u32;
        TEMPLATES >> (word >> Tick::BITS) & 1
    }

    /// Whether a flood can't take the place of a state word: the client has shown that it is there.
    #[inline(always)]
    pub const fn is_proven(word: u32) -> bool {
        const PROVEN: u32 = 1 << State::Established as u32
            | 1 << State::Udp as u32
            | 1 << State::SctpEstablished as u32
            | 1 << State::TemplateHeld as u32;
        PROVEN >> (word >> Tick::BITS) & 1 == 1
    }

    /// The label of metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SynReceived => "syn_recv",
            Self::Established => "established",
            Self::FinWait => "fin_wait",
            Self::Close => "close",
            Self::UdpNew => "udp_new",
            Self::Udp => "udp",
            Self::TimeWait => "time_wait",
            Self::Fragment => "fragment",
            Self::Template => "template",
            Self::TemplateHeld => "template_held",
            Self::SynSent => "syn_sent",
            Self::CloseWait => "close_wait",
            Self::SctpInit => "sctp_init",
            Self::SctpEstablished => "sctp_established",
            Self::SctpClosed => "sctp_closed",
        }
    }
}

/// How long a connection may be idle, in ticks, by the number of its [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Timeouts {
    ticks: [u32; 16],
}

const _: () = assert!(size_of::<Timeouts>() == 64);

impl Timeouts {
    /// From what `ipvsadm --set tcp tcpfin udp` takes, in seconds. The other states have LVS's own.
    pub const fn new(tcp: u32, tcp_fin: u32, udp: u32, clock: Clock) -> Self {
        let mut ticks = [clock.span(10); 16];
        ticks[State::SynReceived as usize] = clock.span(60);
        ticks[State::Established as usize] = clock.span(tcp);
        ticks[State::FinWait as usize] = clock.span(tcp_fin);
        ticks[State::TimeWait as usize] = clock.span(120);
        ticks[State::UdpNew as usize] = clock.span(udp);
        ticks[State::Udp as usize] = clock.span(udp);
        // As long as Linux keeps fragments (ip(7), `ipfrag_time`).
        ticks[State::Fragment as usize] = clock.span(30);
        ticks[State::SynSent as usize] = clock.span(120);
        // 60 s for TCP, 61 s for SCTP: the longer.
        ticks[State::CloseWait as usize] = clock.span(61);
        ticks[State::SctpInit as usize] = clock.span(61);
        ticks[State::SctpEstablished as usize] = clock.span(900);
        ticks[State::SctpClosed as usize] = clock.span(61);
        // Their words say when they end, see `ending`.
        ticks[State::Template as usize] = SPAN_MAX;
        ticks[State::TemplateHeld as usize] = SPAN_MAX;
        Self { ticks }
    }

    /// The idle timeout of a state word, in ticks.
    #[inline(always)]
    pub const fn of(&self, word: u32) -> u32 {
        self.ticks[(word >> Tick::BITS) as usize & 15]
    }

    /// Whether the connection of a state word has been idle for longer than its state allows.
    #[inline(always)]
    pub const fn is_over(&self, word: u32, now: Tick) -> bool {
        now.since(State::seen(word)) > self.of(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_connection_ends_before_its_time_at_any_rate_of_jiffies() {
        for hz in [24, 100, 128, 250, 256, 300, 1000, 1024, 1200] {
            let clock = Clock::new(hz);
            let tick = f64::from(1 << clock.shift()) / f64::from(hz);
            assert!(tick > 0.5 && tick <= 1.0, "{hz} Hz: a tick of {tick} s");
            let timeouts = Timeouts::new(900, 120, 300, clock);
            for begin in [0, 1, 77_777, u64::from(u32::MAX) << clock.shift()] {
                let word = State::Established.at(clock.tick(begin));
                let after = |seconds: u64| clock.tick(begin + seconds * u64::from(hz));
                assert!(!timeouts.is_over(word, after(900)), "{hz} Hz");
                assert!(timeouts.is_over(word, after(902)), "{hz} Hz");
            }
        }
    }

    #[test]
    fn a_states_number_is_its_place_in_a_word_and_it_counts_as_lvs_has_it() {
        let active = [State::SynReceived, State::Established, State::SynSent, State::SctpEstablished];
        let proven = [State::Established, State::Udp, State::SctpEstablished, State::TemplateHeld];
        let timeouts = Timeouts::new(900, 120, 300, Clock::new(128));
        for state in State::ALL {
            let word = state.at(Tick(0xabc_def0));
            assert_eq!((State::of(word), State::seen(word)), (state, Tick(0xabc_def0)));
            assert_eq!(State::activity(word), usize::from(active.contains(&state)), "{state:?}");
            assert_eq!(State::is_proven(word), proven.contains(&state), "{state:?}");
            let seconds = match state {
                State::None | State::Close => 10,
                State::SynReceived => 60,
                State::Established | State::SctpEstablished => 900,
                State::FinWait | State::TimeWait | State::SynSent => 120,
                State::UdpNew | State::Udp => 300,
                State::Fragment => 30,
                State::CloseWait | State::SctpInit | State::SctpClosed => 61,
                State::Template | State::TemplateHeld => SPAN_MAX - 1,
            };
            assert_eq!(timeouts.of(word), seconds + 1, "{state:?}");
            let none = [State::Fragment, State::Template, State::TemplateHeld].contains(&state);
            assert_eq!(State::weight(word), i32::from(!none), "{state:?}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_by_a_tick_is_not_a_lifetime_ahead() {
        let clock = Clock::new(250);
        assert_eq!(clock.tick(0).since(clock.tick(128)), 0);
        assert_eq!(clock.span(u32::MAX), 1 << 27);
    }
}
