//! The order in which one real server would take the slots of a ring of prime length (Eisenbud et al.,
//! "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4).

use super::RingSize;

/// A real server's next wish. Slots that hold 0 are free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preference {
    at: u32,
    step: u32,
    slots: u32,
}

impl Preference {
    /// The order that two hashes of a real server say.
    pub(super) fn new(first: u32, step: u32, size: RingSize) -> Self {
        let slots = size.slots();
        Self { at: first % slots, step: step % (slots - 1) + 1, slots }
    }

    /// Takes the first slot in this order that is free. One must be.
    pub(super) fn take(&mut self, ring: &mut [u32], number: u32) {
        while ring[self.at as usize] != 0 {
            self.at += self.step;
            if self.at >= self.slots {
                self.at -= self.slots;
            }
        }
        ring[self.at as usize] = number;
    }
}
