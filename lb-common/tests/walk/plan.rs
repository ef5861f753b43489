//! Frames of all kinds, and what a few wrong bytes make of them. It refuses to know what is to be found in them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::frames::{
    CUSTOMER, Extension, Part, SCTP, SERVICE, TCP, UDP, frame, icmp, sctp, tcp, udp, v4, v6,
};

/// What a frame is made of, and what is then done to its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    is_v6: bool,
    tags: Vec<bool>,
    outer: Headers,
    quoted: Headers,
    carried: Carried,
    wrong: Vec<(Index, u8)>,
    cut: Option<Index>,
}

#[derive(Clone, Debug)]
struct Headers {
    options: usize,
    part: Part,
    chain: Vec<Extension>,
    payload: u8,
    room: usize,
}

#[derive(Clone, Copy, Debug)]
enum Carried {
    Payload,
    Error(u8),
}

fn part() -> impl Strategy<Value = Part> {
    let offset = prop_oneof![3 => Just(0), 1 => 0..0x2000_u16];
    (offset, any::<bool>(), any::<u32>()).prop_map(|(offset, more, id)| Part(offset, more, id))
}

fn headers() -> impl Strategy<Value = Headers> {
    let number = prop_oneof![Just(60), Just(43), Just(60), Just(135), Just(140)];
    let extension = prop_oneof![
        4 => (number, 1..6_usize).prop_map(|(number, units)| Extension::Options(number, 8 * units)),
        1 => (0..4_usize).prop_map(|words| Extension::Authentication(4 * words)),
        1 => part().prop_map(Extension::Fragment),
    ];
    let chain = prop_oneof![1 => Just(Vec::new()), 2 => vec(extension, 0..4), 1 => vec(prop_oneof![
        Just(Extension::Options(60, 8)), Just(Extension::Options(0, 64)), Just(Extension::Authentication(0)),
    ], 0..11)];
    let part = prop_oneof![3 => Just(Part(0, false, 0)), 1 => part()];
    (0..11_usize, part, chain, 0..5_u8, 0..80_usize).prop_map(|(words, part, chain, payload, room)| Headers {
        options: 4 * words,
        part,
        chain,
        payload,
        room,
    })
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let carried = prop_oneof![3 => Just(Carried::Payload), 2 => (0..13_u8).prop_map(Carried::Error)];
    (
        any::<bool>(),
        prop_oneof![9 => vec(any::<bool>(), 0..3), 1 => vec(any::<bool>(), 3)],
        headers(),
        headers(),
        carried,
        vec(any::<(Index, u8)>(), 0..4),
        prop_oneof![3 => Just(None), 1 => any::<Index>().prop_map(Some)],
    )
        .prop_map(|(is_v6, tags, outer, quoted, carried, wrong, cut)| Plan {
            is_v6,
            tags,
            outer,
            quoted,
            carried,
            wrong,
            cut,
        })
}

impl Headers {
    fn packet(&self, is_v6: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
        if is_v6 {
            v6(&self.chain, protocol, payload)
        } else {
            v4(self.options, self.part, protocol, payload)
        }
    }

    fn payload(&self) -> (u8, Vec<u8>) {
        match self.payload {
            0 => (TCP, tcp(true)),
            1 => (UDP, udp()),
            2 => (SCTP, sctp()),
            3 => (58, icmp(128, 0, b"echo")),
            _ => (50, vec![7; 16]),
        }
    }
}

impl Plan {
    pub(crate) fn frame(&self) -> Vec<u8> {
        let packet = match self.carried {
            Carried::Payload => {
                let (protocol, payload) = self.outer.payload();
                self.outer.packet(self.is_v6, protocol, &payload)
            }
            Carried::Error(kind) => {
                let (protocol, payload) = self.quoted.payload();
                let mut quoted = self.quoted.packet(self.is_v6, protocol, &payload);
                quoted.truncate(40 + self.quoted.room);
                self.outer.packet(self.is_v6, if self.is_v6 { 58 } else { 1 }, &icmp(kind, 0, &quoted))
            }
        };
        let tags: Vec<_> = self.tags.iter().map(|tag| if *tag { CUSTOMER } else { SERVICE }).collect();
        let mut bytes = frame(&tags, &packet);
        for (index, byte) in &self.wrong {
            *index.get_mut(&mut bytes) = *byte;
        }
        if let Some(cut) = self.cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    }
}
