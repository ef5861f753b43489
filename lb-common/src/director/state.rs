//! From one state of a connection to the next: IPVS's tables, as far as their states can be reached.
//!
//! A row is sixteen numbers of four bits, one for each state that there may be: where it goes. So a step is a
//! shift, and the verifier sees one way. No entry and no time is known here.
//!
//! Not here, because no packet leads to them: TCP's LAST_ACK, LISTEN and SYNACK, which IPVS's tables have for
//! `secure_tcp`.

use crate::flow::Flow;
use crate::net::{Sctp, TcpFlags};
use crate::wire::{Protocol, State, Tick};

/// Which packets of a connection are seen, and which way this one goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client, where both directions pass the director.
    Input,
    /// To the client.
    Output,
    /// From the client, where the real server answers by another way: direct routing and tunnels.
    InputOnly,
}

/// The state of a connection after a packet of its flow, as state words without their times: no [`State`], which
/// would be sixteen ways. `forget` is [`super::Tables::forget`].
#[inline(always)]
pub fn next_state(word: u32, flow: &Flow, direction: Direction, forget: impl Fn(u32) -> u32) -> u32 {
    const UDP: u64 = row(Some(State::Udp), &[]);
    let row = match flow.protocol() {
        Protocol::Udp => UDP,
        Protocol::Tcp => tcp_row(flow.tcp_flags, direction),
        Protocol::Sctp => sctp_row(flow.chunk),
    };
    // Forgotten: to the verifier each row would be a connection of its own.
    let [low, high] = [row as u32, (row >> 32) as u32].map(|half| u64::from(forget(half)));
    step(high << 32 | low, word)
}

/// The state word of a connection after the packet that opens it, its time aside.
#[inline(always)]
pub(super) fn first_state(flow: &Flow, forget: impl Fn(u32) -> u32) -> u32 {
    let word = match flow.protocol() {
        // Whoever has sent it may not exist.
        Protocol::Udp => State::UdpNew.at(Tick::ZERO),
        Protocol::Tcp | Protocol::Sctp => {
            next_state(State::None.at(Tick::ZERO), flow, Direction::InputOnly, &forget)
        }
    };
    forget(word)
}

/// The row of a TCP segment (Linux 6.12, `ip_vs_proto_tcp.c`). RST counts before SYN, SYN before FIN, FIN before
/// ACK.
#[inline(always)]
const fn tcp_row(flags: TcpFlags, direction: Direction) -> u64 {
    use State::{CloseWait, Established, FinWait, None, SynReceived, SynSent, TimeWait};
    const CLOSE: u64 = row(Some(State::Close), &[]);
    const SYN_IN: u64 = row(Some(SynReceived), &[(SynSent, Established), (Established, Established)]);
    const SYN_OUT: u64 = row(Some(SynSent), &[(Established, Established), (SynReceived, SynReceived)]);
    const FIN_IN: u64 = row(
        Option::None,
        &[(None, State::Close), (Established, CloseWait), (SynReceived, TimeWait), (FinWait, TimeWait)],
    );
    const FIN_OUT: u64 = row(
        Option::None,
        &[(Established, FinWait), (None, TimeWait), (SynReceived, TimeWait), (CloseWait, TimeWait)],
    );
    const FIN_IN_ONLY: u64 =
        row(Option::None, &[(None, State::Close), (Established, FinWait), (SynReceived, TimeWait)]);
    const ACK: u64 = row(Option::None, &[(None, Established), (SynReceived, Established)]);
    const RST_IN: u64 = row(Some(State::Close), &[(SynReceived, SynReceived)]);
    const RST_OUT: u64 = row(Some(State::Close), &[(SynSent, SynSent), (TimeWait, TimeWait)]);

    let is_output = matches!(direction, Direction::Output);
    if flags.has(TcpFlags::RST) {
        if is_output { RST_OUT } else { RST_IN }
    } else if flags.has(TcpFlags::SYN) {
        if is_output { SYN_OUT } else { SYN_IN }
    } else if flags.has(TcpFlags::FIN) {
        match direction {
            Direction::Input => FIN_IN,
            Direction::Output => FIN_OUT,
            Direction::InputOnly => FIN_IN_ONLY,
        }
    } else if flags.has(TcpFlags::ACK) {
        ACK
    } else {
        CLOSE
    }
}

/// The row of an SCTP packet of the client's, by its first chunk (Linux 6.12, `ip_vs_proto_sctp.c`), the real
/// server's being out of sight.
///
/// What IPVS calls INIT1, INIT and COOKIE_ECHOED is one state, [`State::SctpInit`], with the timeout of the
/// latter two.
#[inline(always)]
const fn sctp_row(chunk: u32) -> u64 {
    use State::{CloseWait, None, SctpClosed, SctpEstablished, SctpInit};
    const DATA: u64 = row(Option::None, &[(None, SctpEstablished)]);
    const INIT: u64 = row(Option::None, &[(None, SctpInit), (SctpClosed, SctpInit)]);
    const INIT_ACK: u64 = row(Option::None, &[(None, SctpInit)]);
    const COOKIE_ECHO: u64 = row(Option::None, &[(None, SctpEstablished), (SctpInit, SctpEstablished)]);
    const SHUTDOWN: u64 = row(Option::None, &[(None, CloseWait), (SctpEstablished, CloseWait)]);
    const SHUTDOWN_ACK: u64 = row(Option::None, &[(None, SctpClosed), (SctpEstablished, SctpClosed)]);
    const SHUTDOWN_COMPLETE: u64 =
        row(Option::None, &[(None, SctpClosed), (SctpInit, SctpClosed), (CloseWait, SctpClosed)]);
    const ERROR: u64 = row(Option::None, &[(None, SctpClosed)]);
    const ABORT: u64 = row(Some(SctpClosed), &[]);

    match chunk {
        Sctp::INIT => INIT,
        Sctp::INIT_ACK => INIT_ACK,
        Sctp::ABORT => ABORT,
        Sctp::SHUTDOWN => SHUTDOWN,
        Sctp::SHUTDOWN_ACK => SHUTDOWN_ACK,
        Sctp::ERROR => ERROR,
        Sctp::COOKIE_ECHO => COOKIE_ECHO,
        Sctp::SHUTDOWN_COMPLETE => SHUTDOWN_COMPLETE,
        // Data, and what comes with it; COOKIE ACK, too, which establishes what was not known alone.
        _ => DATA,
    }
}

/// Where a row leads from a state; words, as in [`next_state`].
#[inline(always)]
const fn step(row: u64, word: u32) -> u32 {
    ((row >> (4 * (word >> Tick::BITS))) as u32) << Tick::BITS
}

/// A row: every state goes to `rest`, or stays if there is none, but for some.
const fn row(rest: Option<State>, but: &[(State, State)]) -> u64 {
    const STAY: u64 = 0xfedc_ba98_7654_3210;
    let mut row = match rest {
        Some(rest) => 0x1111_1111_1111_1111 * rest as u64,
        None => STAY,
    };
    let mut index = 0;
    while index < but.len() {
        let (from, to) = but[index];
        let shift = 4 * from as u32;
        row = row & !(15 << shift) | (to as u64) << shift;
        index += 1;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{
        Close as CL, CloseWait as CW, Established as ES, FinWait as FW, None as NO, SctpClosed,
        SctpEstablished, SctpInit, SynReceived as SR, SynSent as SS, TimeWait as TW,
    };

    const FIN: u32 = TcpFlags::FIN;
    const SYN: u32 = TcpFlags::SYN;
    const RST: u32 = TcpFlags::RST;
    const ACK: u32 = TcpFlags::ACK;

    fn after(row: u64, state: State) -> State {
        State::of(step(row, state.at(Tick::ZERO)))
    }

    /// IPVS's tables, spelt out: for each event what becomes of each state.
    const COLUMNS: [State; 8] = [NO, ES, SS, SR, FW, TW, CL, CW];
    const TCP: [(Direction, u32, [State; 8]); 12] = [
        (Direction::Input, SYN, [SR, ES, ES, SR, SR, SR, SR, SR]),
        (Direction::Input, FIN, [CL, CW, SS, TW, TW, TW, CL, CW]),
        (Direction::Input, ACK, [ES, ES, SS, ES, FW, TW, CL, CW]),
        (Direction::Input, RST, [CL, CL, CL, SR, CL, CL, CL, CL]),
        (Direction::Output, SYN, [SS, ES, SS, SR, SS, SS, SS, SS]),
        (Direction::Output, FIN, [TW, FW, SS, TW, FW, TW, CL, TW]),
        (Direction::Output, ACK, [ES, ES, SS, ES, FW, TW, CL, CW]),
        (Direction::Output, RST, [CL, CL, SS, CL, CL, TW, CL, CL]),
        (Direction::InputOnly, SYN, [SR, ES, ES, SR, SR, SR, SR, SR]),
        (Direction::InputOnly, FIN, [CL, FW, SS, TW, FW, TW, CL, CW]),
        (Direction::InputOnly, ACK, [ES, ES, SS, ES, FW, TW, CL, CW]),
        (Direction::InputOnly, RST, [CL, CL, CL, SR, CL, CL, CL, CL]),
    ];

    #[test]
    fn tcp_goes_as_the_tables_have_it_whatever_bits_come_with_the_one_that_counts() {
        for (direction, event, row) in TCP {
            for (state, expected) in COLUMNS.into_iter().zip(row) {
                for flags in 0..32 {
                    let first = [RST, SYN, FIN, ACK].into_iter().find(|bit| flags & bit != 0);
                    let next = after(tcp_row(TcpFlags(flags), direction), state);
                    match first {
                        Some(bit) if bit == event => {
                            assert_eq!(next, expected, "{direction:?} {state:?} {flags:#x}");
                        }
                        Some(_) => {}
                        None => assert_eq!(next, CL, "no bit at all ends it, as in IPVS"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_connection_that_is_seen_both_ways_ends_in_time_wait() {
        let walk = |packets: &[(Direction, u32)]| {
            packets
                .iter()
                .fold(NO, |state, &(direction, flags)| after(tcp_row(TcpFlags(flags), direction), state))
        };
        let (input, output) = (Direction::Input, Direction::Output);
        let open = [(input, SYN), (output, SYN | ACK), (input, ACK)];
        assert_eq!(walk(&open[..2]), SR);
        assert_eq!(walk(&open), ES);
        let client_first = [(input, FIN | ACK), (output, ACK), (output, FIN | ACK), (input, ACK)];
        assert_eq!(walk(&[&open[..], &client_first[..2]].concat()), CW);
        assert_eq!(walk(&[&open[..], &client_first].concat()), TW);
        let server_first = [(output, FIN | ACK), (input, ACK), (input, FIN | ACK), (output, ACK)];
        assert_eq!(walk(&[&open[..], &server_first[..2]].concat()), FW);
        assert_eq!(walk(&[&open[..], &server_first].concat()), TW);
        let one_way: Vec<_> = [SYN, ACK, FIN | ACK, ACK].map(|flags| (Direction::InputOnly, flags)).into();
        assert_eq!(walk(&one_way), FW, "one side of it is as far as one sees");
    }

    #[test]
    fn sctp_goes_as_the_input_only_table_has_it() {
        let columns = [NO, SctpInit, SctpEstablished, CW, SctpClosed];
        let (init, established, closed) = (SctpInit, SctpEstablished, SctpClosed);
        let stays = [established, init, established, CW, closed];
        for chunk in 0..=256 {
            let row = match chunk {
                1 => [init, init, established, CW, init],
                2 => [init, init, established, CW, closed],
                6 => [closed; 5],
                7 => [CW, init, CW, CW, closed],
                8 => [closed, init, closed, CW, closed],
                9 => [closed, init, established, CW, closed],
                10 => [established, established, established, CW, closed],
                14 => [closed, closed, established, closed, closed],
                // DATA, SACK, HEARTBEAT, COOKIE ACK, ECNE, CWR, and all that is newer.
                _ => stays,
            };
            for (state, expected) in columns.into_iter().zip(row) {
                assert_eq!(after(sctp_row(chunk), state), expected, "{state:?}, chunk {chunk}");
            }
        }
    }

    #[test]
    fn what_opens_a_connection_gives_it_its_first_state() {
        let flow = |transport, flags, chunk| Flow {
            transport,
            tcp_flags: TcpFlags(flags),
            chunk,
            ..bytemuck::Zeroable::zeroed()
        };
        for (flow, first) in [
            (flow(6, SYN, 0), SR),
            (flow(6, SYN | ACK, 0), SR),
            (flow(6, ACK, 0), ES),
            (flow(6, FIN | ACK, 0), CL),
            (flow(17, 0, 0), State::UdpNew),
            (flow(132, 0, 1), SctpInit),
            (flow(132, 0, 0), SctpEstablished),
        ] {
            assert_eq!(first_state(&flow, |word| word), first.at(Tick::ZERO), "{flow:?}");
        }
        for (flow, state, next) in [
            (flow(17, 0, 0), State::UdpNew, State::Udp),
            (flow(6, FIN | ACK, 0), ES, FW),
            (flow(132, 0, 7), SctpEstablished, CW),
        ] {
            let word = next_state(state.at(Tick::ZERO), &flow, Direction::InputOnly, |word| word);
            assert_eq!(word, next.at(Tick::ZERO), "{flow:?}");
        }
    }
}
