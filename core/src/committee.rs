//! The arithmetic of quorums (`docs/protocol.md` A1, A2, A3). Nowhere else is a quorum size computed.

use crate::mutant::Mutant;
use crate::types::{ReplicaId, View};

/// The largest committee: sets of signers are `u128` bit sets.
pub const MAX_REPLICAS: u16 = 128;

/// The smallest committee that tolerates one fault.
pub const MIN_FAULT_TOLERANT: u16 = 4;

/// A set of replicas.
pub type ReplicaSet = u128;

/// A committee of `n` replicas, ids `0..n` (`docs/protocol.md` A1, A2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committee {
    n: u16,
}

/// Why a committee cannot be formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// Fewer than four replicas tolerate no fault.
    #[error("n = {0} replicas tolerate no Byzantine fault (f = 0): use at least 4, or allow f = 0 explicitly")]
    NotFaultTolerant(u16),
    /// Zero, or more than [`MAX_REPLICAS`].
    #[error("n = {0} replicas: must be between 1 and 128")]
    OutOfRange(u16),
}

impl Committee {
    /// A committee that tolerates at least one fault: `4 <= n <= 128`.
    ///
    /// # Errors
    /// [`CommitteeError`] for any other `n`.
    pub fn new(n: u16) -> Result<Self, CommitteeError> {
        if 0 < n && n < MIN_FAULT_TOLERANT {
            return Err(CommitteeError::NotFaultTolerant(n));
        }
        Self::intolerant(n)
    }

    /// A committee of any size, `1 <= n <= 128`; below four it tolerates no fault and says so in [`f`](Self::f).
    ///
    /// # Errors
    /// [`CommitteeError::OutOfRange`] outside that range.
    pub fn intolerant(n: u16) -> Result<Self, CommitteeError> {
        if n == 0 || MAX_REPLICAS < n {
            return Err(CommitteeError::OutOfRange(n));
        }
        Ok(Self { n })
    }

    /// The number of replicas.
    #[must_use]
    pub fn n(self) -> u16 {
        self.n
    }

    /// The number of Byzantine replicas tolerated: `floor((n - 1) / 3)`.
    #[must_use]
    pub fn f(self) -> u16 {
        (self.n - 1) / 3
    }

    /// The quorum `Q = ceil((n + f + 1) / 2)`: any two quorums share an honest replica, and `n - f` replicas
    /// always form one. It is `2f + 1` only when `n = 3f + 1`.
    #[must_use]
    pub fn quorum(self) -> u16 {
        if Mutant::TwoFPlusOne.is_on() { 2 * self.f() + 1 } else { (self.n + self.f() + 1).div_ceil(2) }
    }

    /// The weak quorum `W = f + 1`: at least one of them is honest.
    #[must_use]
    pub fn weak_quorum(self) -> u16 {
        self.f() + 1
    }

    /// The primary of a view: `v mod n`, for ever (`docs/protocol.md` A3).
    #[must_use]
    pub fn primary(self, view: View) -> ReplicaId {
        let index = view.0 % u64::from(self.n);
        ReplicaId(u16::try_from(index).expect("below n"))
    }

    /// Whether `id` is a member.
    #[must_use]
    pub fn contains(self, id: ReplicaId) -> bool {
        id.0 < self.n
    }

    /// All members in ascending order.
    pub fn members(self) -> impl DoubleEndedIterator<Item = ReplicaId> + Clone {
        (0..self.n).map(ReplicaId)
    }

    /// Whether the replicas of `set` form a quorum.
    #[must_use]
    pub fn is_quorum(self, set: ReplicaSet) -> bool {
        set.count_ones() >= u32::from(self.quorum())
    }

    /// Whether the replicas of `set` form a weak quorum.
    #[must_use]
    pub fn is_weak_quorum(self, set: ReplicaSet) -> bool {
        set.count_ones() >= u32::from(self.weak_quorum())
    }
}

/// The set of one replica.
#[must_use]
pub fn singleton(id: ReplicaId) -> ReplicaSet {
    assert!(id.0 < MAX_REPLICAS, "{id} is in no committee");
    1 << id.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_follow_the_formula_and_not_two_f_plus_one() {
        let expected = [(4, 3), (5, 4), (6, 4), (7, 5), (8, 6), (9, 6), (10, 7), (21, 14), (31, 21), (100, 67)];
        for (n, quorum) in expected {
            assert_eq!(Committee::new(n).unwrap().quorum(), quorum, "n = {n}");
        }
    }

    #[test]
    fn two_quorums_share_an_honest_replica_and_the_honest_form_one() {
        for n in MIN_FAULT_TOLERANT..=MAX_REPLICAS {
            let committee = Committee::new(n).unwrap();
            let (f, q) = (committee.f(), committee.quorum());
            assert!(2 * q > n + f, "n = {n}: two quorums may share only Byzantine replicas");
            assert!(q <= n - f, "n = {n}: the honest alone form no quorum");
        }
    }

    #[test]
    fn three_replicas_are_not_called_fault_tolerant() {
        assert_eq!(Committee::new(3), Err(CommitteeError::NotFaultTolerant(3)));
        assert_eq!(Committee::new(0), Err(CommitteeError::OutOfRange(0)));
        assert_eq!(Committee::new(129), Err(CommitteeError::OutOfRange(129)));
        assert_eq!(Committee::intolerant(3).unwrap().f(), 0);
    }

    #[test]
    fn the_primary_rotates_with_the_view() {
        let committee = Committee::new(4).unwrap();
        assert_eq!(committee.primary(View(0)), ReplicaId(0));
        assert_eq!(committee.primary(View(7)), ReplicaId(3));
    }

    // Rules A1 and A2: the formula itself, and who reaches it.
    #[test]
    fn a_set_is_a_quorum_from_its_size_on_and_not_one_below() {
        for n in 1..=MAX_REPLICAS {
            let committee = Committee::intolerant(n).unwrap();
            let (quorum, weak) = ((n + committee.f() + 2) / 2, committee.f() + 1);
            assert_eq!((committee.n(), committee.f()), (n, (n - 1) / 3));
            assert_eq!((committee.quorum(), committee.weak_quorum()), (quorum, weak), "n = {n}");
            // Members from the top, so that the last of 128 is among them.
            let of = |size: u16| committee.members().rev().take(size.into()).fold(0, |set, id| set | singleton(id));
            assert_eq!([quorum - 1, quorum, n].map(|size| committee.is_quorum(of(size))), [false, true, true]);
            assert_eq!([weak - 1, weak, n].map(|size| committee.is_weak_quorum(of(size))), [false, true, true]);
            assert_eq!([n - 1, n].map(|id| committee.contains(ReplicaId(id))), [true, false]);
        }
    }

    #[test]
    fn four_replicas_are_the_least_and_128_the_most() {
        assert!(Committee::new(4).is_ok() && Committee::new(128).is_ok());
        assert!(Committee::intolerant(1).is_ok() && Committee::intolerant(128).is_ok());
        assert_eq!(Committee::intolerant(0), Err(CommitteeError::OutOfRange(0)));
        assert_eq!(Committee::intolerant(129), Err(CommitteeError::OutOfRange(129)));
    }

    #[test]
    #[should_panic(expected = "is in no committee")]
    fn nobody_outside_every_committee_is_in_a_set() {
        let _ = singleton(ReplicaId(MAX_REPLICAS));
    }
}
