//! Tables that are pinned: which, how they are found again, and how they are taken away.
//!
//! Links that are pinned in the same directory are `attach`'s.

use std::os::fd::AsFd as _;
use std::path::Path;

use aya::maps::MapData;
use lb_common::wire::{Settings, VERSION};

use super::Error;
use super::mapped::{MappedArray, Mapping};

/// Maps that are pinned: all but read-only data and the log.
///
/// The array of programs among them: a program array that no process and no pin holds loses its programs.
pub(super) const PINNED: [&str; 14] = [
    "TABLES",
    "PEERS",
    "ADDRESSES",
    "RULE_SPANS",
    "RULES",
    "SERVICE_INDEX",
    "SERVICES",
    "RINGS",
    "LOADS",
    "CONNECTIONS",
    "GATES",
    "SOURCES",
    "LOCALITIES",
    "PROGRAMS",
];

/// Takes away all pinned tables in a directory. Links that are pinned there are not touched.
pub(super) fn remove_pinned_tables(directory: &Path) -> Result<(), Error> {
    for name in PINNED {
        remove_pin(&directory.join(name))?;
    }
    Ok(())
}

pub(super) fn remove_pin(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Pin { path: path.to_path_buf(), why: format!("can't be removed: {error}") })
        }
        _ => Ok(()),
    }
}

/// The settings of the tables that are pinned in a directory, if there are any that were finished.
pub(super) fn pinned_settings(directory: &Path) -> Result<Option<Settings>, Error> {
    let path = directory.join("TABLES");
    if !path.exists() {
        remove_pinned_tables(directory)?;
        return Ok(None);
    }
    let wrong = |why: String| Error::Pin { path: path.clone(), why };
    let map = MapData::from_pin(&path).map_err(|error| wrong(format!("is not a map: {error}")))?;
    let info = map.info().map_err(|error| wrong(format!("can't be asked: {error}")))?;
    if (info.value_size() as usize) < size_of::<Settings>() {
        return Err(wrong("belongs to another version of lb; `lb stop` removes it".into()));
    }
    let mapping = Mapping::new(map.fd().as_fd(), size_of::<Settings>())
        .map_err(|source| Error::Mmap { map: "TABLES", source })?;
    let settings = MappedArray::<Settings>::part(&mapping, 0, 1).read(0);
    match settings.version {
        VERSION => Ok(Some(settings)),
        0 => {
            // Whoever began with these tables did not come to their end.
            remove_pinned_tables(directory)?;
            Ok(None)
        }
        other => Err(wrong(format!(
            "holds tables of version {other}, and this lb makes version {VERSION}: \
             run `lb stop` with the lb that made them; connections then begin anew"
        ))),
    }
}
