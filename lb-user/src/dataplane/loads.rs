//! What destinations hold, and whether they are overloaded: counts that programs move at the same time.

use std::mem::offset_of;
use std::sync::atomic::Ordering::Relaxed;

use lb_common::wire::{Destination, Load};

use super::mapped::MappedArray;

/// The map `LOADS`.
pub(super) struct Loads(MappedArray<Load>);

impl Loads {
    pub(super) const fn new(loads: MappedArray<Load>) -> Self {
        Self(loads)
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn read(&self, number: u32) -> Load {
        self.0.read(number as usize)
    }

    /// Begins a destination at zero.
    pub(super) fn clear(&self, number: u32) {
        self.0.write(number as usize, Load::default());
    }

    /// Adds to a count of a destination, if there is one of this number.
    pub(super) fn add(&self, number: u32, activity: usize, by: i32) {
        if (number as usize) < self.0.len() {
            self.0.half(number as usize, 4 * activity).fetch_add(by, Relaxed);
            self.judge_one(number);
        }
    }

    /// Sets the thresholds of a destination.
    pub(super) fn limit(&self, number: u32, destination: &Destination) {
        let load = self.read(number).with_thresholds(destination.upper, destination.lower);
        for (offset, value) in [
            (offset_of!(Load, upper), load.upper),
            (offset_of!(Load, lower), load.lower),
            (offset_of!(Load, overloaded), load.overloaded),
        ] {
            self.0.half(number as usize, offset).store(value.cast_signed(), Relaxed);
        }
    }

    /// Asks of all destinations whether they are overloaded, as programs do on every event.
    ///
    /// Two that ask at once may leave the older answer, until the next event: or until this.
    pub(super) fn judge(&self) {
        for number in 0..self.0.len() as u32 {
            self.judge_one(number);
        }
    }

    fn judge_one(&self, number: u32) {
        let load = self.read(number);
        let overloaded = load.overloaded_now();
        if overloaded != load.overloaded {
            let offset = offset_of!(Load, overloaded);
            self.0.half(number as usize, offset).store(overloaded.cast_signed(), Relaxed);
        }
    }
}
