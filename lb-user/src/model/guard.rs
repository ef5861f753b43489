//! What stands before a virtual service. It knows no file and no tables.

use super::Prefix;

/// What stands before a virtual service: who may open connections (or send first datagrams), and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// How many may be opened in a second on each CPU, 1 to [`super::NEW_FLOWS_MAX`]; 0: any number.
    pub new_flows_max: u32,
    /// From where they may; of the service's family, none twice. The longest prefix counts, of both lists. If there
    /// is one, nobody else may.
    pub allow: Vec<Prefix>,
    /// From where they may not; none that is allowed.
    pub deny: Vec<Prefix>,
}

impl Guard {
    /// Both lists in one: whether connections may be opened from a prefix.
    pub fn sources(&self) -> impl Iterator<Item = (Prefix, bool)> {
        let of = |list: &[Prefix], is_allowed| list.iter().map(move |&prefix| (prefix, is_allowed)).collect();
        let (allow, deny): (Vec<_>, Vec<_>) = (of(&self.allow, true), of(&self.deny, false));
        allow.into_iter().chain(deny)
    }

    /// How many entries of [`super::TableSizes::sources`] its lists take: one more for who is not allowed.
    pub fn entries(&self) -> u64 {
        (self.allow.len() + self.deny.len() + usize::from(!self.allow.is_empty())) as u64
    }
}
