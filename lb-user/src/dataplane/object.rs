//! The XDP object, inside the binary: `lb` needs no file beside it.

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _};

/// The ELF object that `cargo xtask build` made.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LB_EBPF_OBJECT"));

/// Where a map's definition has the size of its values (libbpf's `bpf_map_def`, the second of its words after
/// the type).
const VALUE_SIZE: usize = 8;

/// The object with values of `bytes` bytes in one of its maps. Nothing if it has no such map.
///
/// The loader sets how many values an array has, but not how large they are.
pub(super) fn with_value_size(map: &str, bytes: u32) -> Option<Vec<u8>> {
    let file = ElfFile64::<Endianness>::parse(OBJECT).ok()?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(map))?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let (start, _) = section.file_range()?;
    let at = usize::try_from(start + symbol.address()).ok()? + VALUE_SIZE;
    let mut object = OBJECT.to_vec();
    object.get_mut(at..at + 4)?.copy_from_slice(&bytes.to_ne_bytes());
    Some(object)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use aya_obj::Object;

    use super::{OBJECT, with_value_size};

    #[test]
    fn only_the_size_of_that_maps_values_is_written() {
        let changed = with_value_size("TABLES", 4_096).unwrap();
        let differing = changed.iter().zip(OBJECT).filter(|(new, old)| new != old).count();
        assert!((1..=4).contains(&differing), "{differing} bytes");
        let object = Object::parse(&changed).unwrap();
        assert_eq!(object.maps["TABLES"].value_size(), 4_096);
        assert!(with_value_size("NO_SUCH_MAP", 1).is_none());
    }
}
