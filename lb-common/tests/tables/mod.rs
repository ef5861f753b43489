//! Small tables in memory for properties of decisions: one service of each kind, all their real servers well.

use lb_common::host::MemoryTables;
use lb_common::wire::{
    Clock, Destination, DestinationHead, FORWARD_DIRECT, Options, RingSpan, Service, ServiceKey, Settings,
    Timeouts, VERSION, admission_bit_v4, admission_bit_v6,
};

/// 10.0.0.50, TCP port 80 and UDP port 53; the same for [`SERVICE_V6`].
pub(crate) const SERVICE_V4: [u8; 4] = [10, 0, 0, 50];
/// `fd00::50`.
pub(crate) const SERVICE_V6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50];

pub(crate) fn tables() -> MemoryTables {
    let settings = Settings {
        version: VERSION,
        lines: 64,
        template_lines: 16,
        destinations: 8,
        services: 4,
        ring_slots: 16,
        cpus: 1,
        hz: 250,
        options: Options::DEFAULT,
        has_rules: 0,
        class_addresses: 4,
        class_rules: 4,
        seed: [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 3, 5, 7, 0xe703_7ed1_a0b4_28db],
        peer_filter: 0,
        timeouts: Timeouts::new(900, 120, 300, Clock::new(250)),
        localities: 4,
        sources: 4,
        nothing: 0,
        masquerades: 0,
    };
    let mut tables = MemoryTables::new(settings);
    let mut v4 = [0; 16];
    v4[..4].copy_from_slice(&SERVICE_V4);
    let keys = [(v4, 4), (SERVICE_V6, 6)].into_iter().flat_map(|(address, family)| {
        [(6, 80_u16), (17, 53)].map(|(protocol, port)| ServiceKey {
            address,
            port: port.to_be_bytes(),
            protocol,
            family,
            reserved: [0; 4],
        })
    });
    for (index, key) in (0..).zip(keys) {
        let number = index + 1;
        let ring = RingSpan { first: index, slots: 1 }.to_word();
        tables.rings[index as usize] = number;
        tables.services[index as usize] = Service { ring, key, scheduler: 1, ..bytemuck::Zeroable::zeroed() };
        tables.service_index.insert(key, index);
        tables.heads[number as usize] = DestinationHead { record: 2 * number, flags: 0 };
        tables.destinations[2 * number as usize] = Destination {
            ethernet: [2, 0, 0, 0, 1, number as u8, 2, 0, 0, 0, 0, 1],
            interface: 1,
            address: key.address,
            service: key,
            weight: 1,
            port: key.port,
            forward: FORWARD_DIRECT,
            mtu: 1_500,
            ..bytemuck::Zeroable::zeroed()
        };
    }
    tables.admission.admit(admission_bit_v4(u32::from_ne_bytes(SERVICE_V4)));
    let [high, low]: [u64; 2] = bytemuck::cast(SERVICE_V6);
    tables.admission.admit(admission_bit_v6(high, low));
    tables
}
