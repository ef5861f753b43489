//! The object with its sizes written into it, loaded; and its maps taken out of it.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use aya::maps::{Map, MapError};
use aya::{Ebpf, EbpfLoader};
use lb_common::wire::{LAYOUT_BYTES_MAX, LINE_SLOTS, Layout, RING_CHUNK};

use super::mapped::{MappedArray, Mapping};
use super::object::with_value_size;
use super::pins::PINNED;
use super::{Error, Sizes};

pub(super) fn load_object(sizes: &Sizes, pins: Option<&Path>, debug: bool) -> Result<Ebpf, Error> {
    let settings = sizes.settings();
    let layout = Layout::of(&settings);
    if layout.bytes > LAYOUT_BYTES_MAX {
        return Err(Error::TooLarge { bytes: layout.bytes });
    }
    let object = with_value_size("TABLES", layout.bytes as u32).ok_or_else(|| missing_map("TABLES"))?;
    let mut loader = EbpfLoader::new();
    let debug = u32::from(debug);
    let shift = sizes.clock().shift();
    let all_lines = settings.all_lines();
    loader
        .map_max_entries("ADDRESSES", sizes.addresses())
        .map_max_entries("RULE_SPANS", sizes.rule_spans())
        .map_max_entries("RULES", settings.class_rules)
        .map_max_entries("SERVICE_INDEX", settings.services)
        .map_max_entries("SERVICES", settings.services)
        .map_max_entries("RINGS", settings.ring_slots / RING_CHUNK)
        .map_max_entries("LOADS", settings.destinations)
        .map_max_entries("GATES", settings.cpus * settings.services)
        .map_max_entries("SOURCES", settings.sources)
        .map_max_entries("LOCALITIES", settings.localities)
        .map_max_entries("CONNECTIONS", settings.all_lines() * LINE_SLOTS as u32)
        .override_global("OFFSETS", &layout.offsets[..], true)
        .override_global("SERVICE_COUNT", &settings.services, true)
        .override_global("CPUS", &settings.cpus, true)
        .override_global("TICK_SHIFT", &shift, true)
        .override_global("SEED", &settings.seed[..], true)
        .override_global("LINES", &settings.lines, true)
        .override_global("TEMPLATE_LINES", &settings.template_lines, true)
        .override_global("ALL_LINES", &all_lines, true)
        .override_global("DESTINATION_COUNT", &settings.destinations, true)
        .override_global("DEBUG", &debug, true);
    if let Some(directory) = pins {
        for name in PINNED {
            loader.map_pin_path(name, directory.join(name));
        }
    }
    loader.load(&object).map_err(Error::Load)
}

pub(super) fn map_tables(ebpf: &Ebpf, bytes: u64) -> Result<Arc<Mapping>, Error> {
    match ebpf.map("TABLES") {
        Some(Map::Array(data)) => Mapping::new(data.fd().as_fd(), bytes as usize)
            .map_err(|source| Error::Mmap { map: "TABLES", source }),
        _ => Err(missing_map("TABLES")),
    }
}

pub(super) fn map_array<T: bytemuck::Pod>(
    ebpf: &mut Ebpf,
    map: &'static str,
    values: u32,
) -> Result<MappedArray<T>, Error> {
    match ebpf.map(map) {
        Some(Map::Array(data)) => {
            MappedArray::new(data.fd().as_fd(), values).map_err(|source| Error::Mmap { map, source })
        }
        _ => Err(missing_map(map)),
    }
}

pub(super) fn take<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    map: &'static str,
) -> Result<T, Error> {
    let data = ebpf.take_map(map).ok_or_else(|| missing_map(map))?;
    data.try_into().map_err(|source| Error::Map { map, source })
}

pub(super) fn missing_map(map: &'static str) -> Error {
    Error::Map { map, source: MapError::InvalidName { name: map.into() } }
}
