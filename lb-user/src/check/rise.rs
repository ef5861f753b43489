//! From results in a row to up or down. Pure.
//! It refuses to know probes and time.

use super::Health;

/// What is known of a real server, and how many results in a row speak against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rise {
    health: Option<Health>,
    against: u32,
}

impl Rise {
    /// Begins with what is known already.
    pub(super) const fn new(health: Option<Health>) -> Self {
        Self { health, against: 0 }
    }

    /// Takes in a result; the new health if it changes. `rise` passes in a row bring up what is down,
    /// `fall` failures in a row bring down what is up, and the very first result decides alone.
    pub(super) fn take(&mut self, passed: bool, rise: u32, fall: u32) -> Option<Health> {
        let (told, needed) = if passed { (Health::Up, rise) } else { (Health::Down, fall) };
        if self.health == Some(told) {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.health.is_some() && self.against < needed {
            return None;
        }
        *self = Self::new(Some(told));
        self.health
    }

    /// Counts anew, as under a check that was changed; the health stays.
    pub(super) const fn forget_row(&mut self) {
        self.against = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is told after each result: `+` passed, `-` failed; `U` up, `D` down, `.` nothing.
    fn told(initial: Option<Health>, rise: u32, fall: u32, results: &str) -> String {
        let mut state = Rise::new(initial);
        let mut take = |result| match state.take(result == '+', rise, fall) {
            Some(Health::Up) => 'U',
            Some(Health::Down) => 'D',
            None => '.',
        };
        results.chars().map(&mut take).collect()
    }

    #[test]
    fn only_results_in_a_row_count() {
        let (up, down) = (Some(Health::Up), Some(Health::Down));
        for (initial, rise, fall, results, expected) in [
            // The first decides, whatever rise and fall are.
            (None, 5, 5, "+", "U"),
            (None, 5, 5, "-", "D"),
            (None, 2, 3, "+---++", "U..D.U"),
            (None, 2, 3, "-++---", "D.U..D"),
            // What is known is not told again.
            (up, 2, 3, "+++---", ".....D"),
            (down, 2, 3, "---++", "....U"),
            (up, 1, 1, "-+-+", "DUDU"),
            // Never three in a row.
            (up, 2, 3, "-+-+-+--+--+", "............"),
            (down, 2, 3, "+-+-+-", "......"),
            (up, 2, 3, "--+---", ".....D"),
            (up, 1_000, 2, "--++++", ".D...."),
        ] {
            assert_eq!(told(initial, rise, fall, results), expected, "{initial:?} {rise}/{fall} {results}");
        }
    }

    #[test]
    fn a_row_that_is_forgotten_begins_anew() {
        let mut state = Rise::new(Some(Health::Up));
        assert_eq!([state.take(false, 2, 3), state.take(false, 2, 3)], [None; 2]);
        state.forget_row();
        assert_eq!([state.take(false, 2, 3), state.take(false, 2, 3)], [None; 2]);
        assert_eq!(state.take(false, 2, 3), Some(Health::Down));
    }

    /// The same said backwards: a health changes when the results since the last change end in enough
    /// that speak against it.
    fn naive(initial: Option<Health>, rise: usize, fall: usize, results: &[bool]) -> Vec<Option<Health>> {
        let (mut health, mut since) = (initial, 0);
        let mut told = vec![];
        for now in 1..=results.len() {
            let ends_in = |passed, count| {
                results[since..now].len() >= count && results[now - count..now].iter().all(|&it| it == passed)
            };
            let change = match health {
                None => Some(if results[now - 1] { Health::Up } else { Health::Down }),
                Some(Health::Up) if ends_in(false, fall) => Some(Health::Down),
                Some(Health::Down) if ends_in(true, rise) => Some(Health::Up),
                Some(_) => None,
            };
            if change.is_some() {
                (health, since) = (change, now);
            }
            told.push(change);
        }
        told
    }

    proptest! {
        #[test]
        fn it_does_what_the_naive_one_does(
            initial in prop_oneof![Just(None), Just(Some(Health::Up)), Just(Some(Health::Down))],
            (rise, fall) in (1..5_usize, 1..5_usize),
            results in prop::collection::vec(any::<bool>(), 0..100),
        ) {
            let mut state = Rise::new(initial);
            let told: Vec<_> =
                results.iter().map(|&passed| state.take(passed, rise as u32, fall as u32)).collect();
            prop_assert_eq!(told, naive(initial, rise, fall, &results));
        }
    }
}
