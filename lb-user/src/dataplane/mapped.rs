//! BPF arrays in the daemon's memory: the very bytes that the programs work on.
//!
//! Written by volatile stores of whole words or records; nothing here orders them but the order of
//! the calls. What an element means is the caller's to know.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use bytemuck::Pod;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The memory of one array that was made with `BPF_F_MMAPABLE` (Linux 5.5).
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: memory that is shared with the kernel anyway; it is reached through `MappedArray` only.
unsafe impl Send for Mapping {}
// SAFETY: likewise.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` bytes of an array's values.
    pub(super) fn new(map: BorrowedFd<'_>, bytes: usize) -> io::Result<Arc<Self>> {
        // SAFETY: a new mapping at an address of the kernel's choice, of a map that is at least as large.
        let start = unsafe {
            mmap(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, map, 0)
        }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address zero"))?;
        Ok(Arc::new(Self { start, bytes }))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; every array in it holds an `Arc` of it.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

/// All records of one table. The size of `T` is a multiple of eight, as the kernel lays values out.
pub(super) struct MappedArray<T> {
    start: NonNull<T>,
    values: usize,
    mapping: Arc<Mapping>,
}

// SAFETY: the memory is shared with the kernel anyway; all accesses are volatile or atomic.
unsafe impl<T: Send> Send for MappedArray<T> {}
// SAFETY: likewise.
unsafe impl<T: Send> Sync for MappedArray<T> {}

impl<T: Pod> MappedArray<T> {
    const ASSERT: () = assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() <= 64);

    /// All `values` values of an array.
    pub(super) fn new(map: BorrowedFd<'_>, values: u32) -> io::Result<Self> {
        let mapping = Mapping::new(map, values as usize * size_of::<T>())?;
        Ok(Self::part(&mapping, 0, values))
    }

    /// `values` records that lie at `offset` bytes of a mapping.
    pub(super) fn part(mapping: &Arc<Mapping>, offset: u64, values: u32) -> Self {
        const { Self::ASSERT };
        let (offset, values) = (offset as usize, values as usize);
        let end = offset + values * size_of::<T>();
        assert!(end <= mapping.bytes && offset.is_multiple_of(8), "{offset} to {end} of {}", mapping.bytes);
        // SAFETY: within the mapping, see the assertion.
        let start = unsafe { mapping.start.add(offset) }.cast();
        Self { start, values, mapping: Arc::clone(mapping) }
    }

    /// How many values there are.
    pub(super) const fn len(&self) -> usize {
        self.values
    }

    fn at(&self, index: usize) -> *mut T {
        assert!(index < self.values, "value {index} of {}", self.values);
        debug_assert!(self.mapping.bytes >= size_of::<T>(), "held as long as it is used");
        // SAFETY: `index` is within the mapping.
        unsafe { self.start.as_ptr().add(index) }
    }

    /// One value. Where the program writes to it meanwhile, its words may be of different times.
    pub(super) fn read(&self, index: usize) -> T {
        // SAFETY: within the mapping, aligned as the kernel aligned it, and any bytes are a T.
        unsafe { self.at(index).read_volatile() }
    }

    /// Writes one value, which the program must not be reading.
    pub(super) fn write(&self, index: usize, value: T) {
        // SAFETY: as in `read`; concurrent readers see bytes, never references.
        unsafe { self.at(index).write_volatile(value) }
        // What is published afterwards names what was written before.
        std::sync::atomic::fence(Ordering::Release);
    }

    /// An aligned word at `offset` bytes of a value, to be shared with the program.
    pub(super) fn word(&self, index: usize, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= size_of::<T>(), "word at {offset}");
        // SAFETY: within the value, see the assertion.
        let word = unsafe { self.at(index).cast::<u8>().add(offset) };
        // SAFETY: aligned, mapped as long as `self`, and written by atomic or whole-word instructions only.
        unsafe { AtomicU64::from_ptr(word.cast()) }
    }

    /// An aligned half word at `offset` bytes of a value.
    pub(super) fn half(&self, index: usize, offset: usize) -> &AtomicI32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= size_of::<T>(), "half at {offset}");
        // SAFETY: within the value, see the assertion.
        let half = unsafe { self.at(index).cast::<u8>().add(offset) };
        // SAFETY: as in `word`.
        unsafe { AtomicI32::from_ptr(half.cast()) }
    }
}
