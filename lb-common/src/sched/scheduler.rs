//! The names of the schedulers: ipvsadm's words, and the numbers that tables carry.

/// A scheduler; ipvsadm(8), `--scheduler`.
///
/// The numbers are in tables that outlive a daemon: none is ever given to another one.
// A word: what is narrower is copied in pieces that straddle words, which a program's stack doesn't take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Scheduler {
    /// Round robin: one after the other, whatever their weight, but not at weight 0.
    Rr = 1,
    /// Weighted round robin: in proportion to their weights, well mixed.
    Wrr = 2,
    /// Least connections, whatever the weight.
    Lc = 3,
    /// Weighted least connections: the fewest for its weight. What ipvsadm takes if it is told none.
    Wlc = 4,
    /// Shortest expected delay: as wlc with active connections alone, the new one counted in.
    Sed = 5,
    /// Never queue: one without an active connection if there is one, or else as sed.
    Nq = 6,
    /// Failover: always the highest weight.
    Fo = 7,
    /// Overflow: the highest weight whose active connections are not above its weight.
    Ovf = 8,
    /// Power of two choices: the less loaded of two drawn by weight.
    Twos = 9,
    /// Locality-based least connections: one real server for a destination address, until it has too many.
    Lblc = 10,
    /// The same with a set of real servers for a destination address.
    Lblcr = 11,
    /// Source hashing: by the client's address, and port if asked to.
    Sh = 12,
    /// Destination hashing: by the address that the client asked for.
    Dh = 13,
    /// LVS's Maglev: as sh, and few clients move when real servers come and go.
    Mh = 14,
    /// Our Maglev: by any keyed hash, the same ring whatever the order of the real servers.
    Maglev = 15,
}

/// How a scheduler comes to its choice.
// A word, as `Scheduler` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// From a ring, one slot after the other.
    Ring,
    /// The same, but who is overloaded is passed over.
    RingWithGaps,
    /// From a ring, at the slot that a hash says.
    HashRing,
    /// By looking at every real server.
    Walk,
}

impl Scheduler {
    /// All of them, by their numbers.
    pub const ALL: [Self; 15] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Twos,
        Self::Lblc,
        Self::Lblcr,
        Self::Sh,
        Self::Dh,
        Self::Mh,
        Self::Maglev,
    ];

    /// Its number in the tables.
    #[inline(always)]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The scheduler of a number.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Rr,
            2 => Self::Wrr,
            3 => Self::Lc,
            4 => Self::Wlc,
            5 => Self::Sed,
            6 => Self::Nq,
            7 => Self::Fo,
            8 => Self::Ovf,
            9 => Self::Twos,
            10 => Self::Lblc,
            11 => Self::Lblcr,
            12 => Self::Sh,
            13 => Self::Dh,
            14 => Self::Mh,
            15 => Self::Maglev,
            _ => return None,
        })
    }

    /// Its name: ipvsadm's, if ipvsadm knows it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Twos => "twos",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Sh => "sh",
            Self::Dh => "dh",
            Self::Mh => "mh",
            Self::Maglev => "maglev",
        }
    }

    /// The scheduler of a name.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheduler| scheduler.label() == label)
    }

    /// How it comes to its choice where real servers can be overloaded: fo is a walk then, see [`super::Walk`].
    #[inline(always)]
    pub const fn shape_with_thresholds(self) -> Shape {
        match self {
            Self::Fo => Shape::Walk,
            Self::Rr | Self::Wrr => Shape::RingWithGaps,
            _ => self.shape(),
        }
    }

    /// How it comes to its choice where nobody is ever overloaded.
    #[inline(always)]
    pub const fn shape(self) -> Shape {
        match self {
            Self::Rr | Self::Wrr | Self::Fo => Shape::Ring,
            Self::Sh | Self::Dh | Self::Mh | Self::Maglev => Shape::HashRing,
            Self::Lc
            | Self::Wlc
            | Self::Sed
            | Self::Nq
            | Self::Ovf
            | Self::Twos
            | Self::Lblc
            | Self::Lblcr => Shape::Walk,
        }
    }
}
