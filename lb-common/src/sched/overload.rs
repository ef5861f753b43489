//! What a real server remembers: that it was full, and what it weighed.

/// Whether a real server is overloaded, after its connections or its thresholds changed.
///
/// `connections` are active and inactive ones together. `upper` and `lower` are ipvsadm's `-x` and
/// `-y`: at `upper` it is overloaded (0: it never is), and stays so until it falls below `lower` (0:
/// three quarters of `upper`).
///
/// Linux 6.12 asks on every change of connections. What it does on a change of thresholds differs from one
/// version to the next; the newest ask then too.
#[inline(always)]
pub const fn is_overloaded(was: bool, connections: u64, upper: u32, lower: u32) -> bool {
    if upper == 0 {
        return false;
    }
    // Rounded up, as if it were multiplied by 4 and 3.
    let lower = if lower == 0 { upper - upper / 4 } else { lower };
    connections >= upper as u64 || was && connections >= lower as u64
}

/// The last weight of a real server that is given `weight`: its latest that wasn't 0.
///
/// `before` is the last weight that it had; `None` when it is added, and then 0 counts.
#[inline(always)]
pub const fn last_weight(before: Option<u32>, weight: u32) -> u32 {
    match before {
        Some(before) if weight == 0 => before,
        _ => weight,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_at_the_upper_and_is_free_below_the_lower_threshold() {
        assert!(!is_overloaded(false, 9, 10, 4));
        assert!(is_overloaded(false, 10, 10, 4));
        assert!(is_overloaded(true, 4, 10, 4));
        assert!(!is_overloaded(true, 3, 10, 4));
        assert!(!is_overloaded(true, u64::MAX, 0, 0));
        // No lower threshold: as the kernel has it, connections * 4 < upper * 3.
        for upper in 1..50 {
            for connections in 0..u64::from(upper) {
                let stays = connections * 4 >= u64::from(upper) * 3;
                assert_eq!(is_overloaded(true, connections, upper, 0), stays, "{connections} of {upper}");
                assert!(!is_overloaded(false, connections, upper, 0));
            }
        }
        assert!(is_overloaded(false, u64::from(u32::MAX), u32::MAX, u32::MAX));
    }

    #[test]
    fn a_weight_of_0_is_remembered_only_from_the_beginning() {
        assert_eq!(last_weight(None, 0), 0);
        assert_eq!(last_weight(None, 5), 5);
        assert_eq!(last_weight(Some(5), 0), 5);
        assert_eq!(last_weight(Some(5), 7), 7);
    }
}
