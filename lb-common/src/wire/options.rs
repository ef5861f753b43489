//! What an operator can choose about connections: IPVS's sysctls of the same names, in one word.
//!
//! A word, so that a change reaches every packet whole. What they mean is said where they are asked.

use bytemuck::{Pod, Zeroable};

/// IPVS's `net.ipv4.vs.*` that concern connections (Linux, Documentation/networking/ipvs-sysctl.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Options(u32);

impl Options {
    const REUSE: u32 = 3;
    const EXPIRE_NODEST: u32 = 4;
    const SLOPPY_TCP: u32 = 8;
    const SLOPPY_SCTP: u32 = 16;
    const EXPIRE_QUIESCENT: u32 = 32;

    /// The highest `conn_reuse_mode`.
    pub const REUSE_MAX: u32 = Self::REUSE;

    /// What holds unless an operator says otherwise. IPVS begins with `conn_reuse_mode` 1 and `expire_nodest_conn`
    /// 0: then a client that comes back with the same port within two minutes is held to its old real server, and
    /// connections of a removed one are dropped in silence.
    pub const DEFAULT: Self = Self::new(2, true, false, false);

    /// From `conn_reuse_mode` (0 to [`Self::REUSE_MAX`]), `expire_nodest_conn`, `sloppy_tcp` and `sloppy_sctp`.
    pub const fn new(reuse: u32, expire_nodest: bool, sloppy_tcp: bool, sloppy_sctp: bool) -> Self {
        Self(
            (reuse & Self::REUSE)
                | (Self::EXPIRE_NODEST * expire_nodest as u32)
                | (Self::SLOPPY_TCP * sloppy_tcp as u32)
                | (Self::SLOPPY_SCTP * sloppy_sctp as u32),
        )
    }

    /// With `expire_quiescent_template`, which [`Self::new`] leaves out.
    #[must_use]
    pub const fn with_expire_quiescent_template(self, is_set: bool) -> Self {
        Self(self.0 & !Self::EXPIRE_QUIESCENT | (Self::EXPIRE_QUIESCENT * is_set as u32))
    }

    /// From the word in its table.
    #[inline(always)]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// The word in its table.
    #[inline(always)]
    pub const fn to_word(self) -> u32 {
        self.0
    }

    /// `conn_reuse_mode` is not 0: who opens a connection whose last one is over chooses anew.
    #[inline(always)]
    pub const fn reuses_closed(self) -> bool {
        self.0 & Self::REUSE != 0
    }

    /// `conn_reuse_mode` has the value 2 in it: a FIN of the client's alone is the end of a connection, too.
    #[inline(always)]
    pub const fn reuses_fin_wait(self) -> bool {
        self.0 & 2 != 0
    }

    /// `expire_nodest_conn`: connections whose real server was removed end at once.
    #[inline(always)]
    pub const fn expires_nodest(self) -> bool {
        self.0 & Self::EXPIRE_NODEST != 0
    }

    /// `expire_quiescent_template`: a real server of weight 0 loses its persistent clients.
    #[inline(always)]
    pub const fn expires_quiescent_template(self) -> bool {
        self.0 & Self::EXPIRE_QUIESCENT != 0
    }

    /// `sloppy_tcp`: any TCP segment but an RST opens a connection.
    #[inline(always)]
    pub const fn is_sloppy_tcp(self) -> bool {
        self.0 & Self::SLOPPY_TCP != 0
    }

    /// `sloppy_sctp`: any SCTP packet opens a connection.
    #[inline(always)]
    pub const fn is_sloppy_sctp(self) -> bool {
        self.0 & Self::SLOPPY_SCTP != 0
    }
}
