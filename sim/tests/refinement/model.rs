//! The agreement on one slot, as a model: what honest replicas may do, without messages, bodies, clocks and disks. What
//! a Byzantine replica says is left out: it is taken to have said whatever helps.
//!
//! The model knows all that was ever said, so a step is allowed if some set of messages allows it.

use cretoai_core::hash::Digest;
use cretoai_core::types::{ReplicaId, View};
use std::collections::{BTreeMap, BTreeSet};

/// A batch in a view.
pub(crate) type Said = (View, Digest);

/// What an honest replica does about one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It votes in the first phase.
    Votes(Said),
    /// It is prepared, and votes in the second phase.
    IsPrepared(Said),
    /// It decides.
    Decides(Said),
    /// It leaves for a view, and claims the batch for which it was prepared last.
    Leaves(View, Option<Said>),
    /// It enters a view, which proposes this batch, or leaves the slot to its primary.
    Enters(View, Option<Digest>),
    /// The slot is behind a stable checkpoint: nothing is claimed for it any more.
    Settles,
}

/// The slot at one replica.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    view: View,
    left_for: Option<View>,
    /// What the view proposes, if that is not for the primary to say.
    proposed: Option<Digest>,
    voted: Option<Said>,
    prepared: Option<Said>,
    decided: Option<Digest>,
    settled: bool,
}

/// One slot in a committee.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    quorum: usize,
    /// Replicas that may say anything.
    byzantine: usize,
    null: Digest,
    places: BTreeMap<ReplicaId, Place>,
    votes: BTreeMap<Said, BTreeSet<ReplicaId>>,
    commits: BTreeMap<Said, BTreeSet<ReplicaId>>,
    /// By the view that is wanted, what each replica claims; nothing also for a slot behind its checkpoint.
    claims: BTreeMap<View, BTreeMap<ReplicaId, Option<Said>>>,
}

impl Model {
    /// A slot of which nothing was said.
    pub(crate) fn new(honest: &[ReplicaId], quorum: usize, byzantine: usize, null: Digest) -> Self {
        Self {
            quorum,
            byzantine,
            null,
            places: honest.iter().map(|id| (*id, Place::default())).collect(),
            votes: BTreeMap::new(),
            commits: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }

    /// Takes a step of a replica.
    ///
    /// # Errors
    /// Why the model does not allow it.
    pub(crate) fn step(&mut self, id: ReplicaId, step: Step) -> Result<(), String> {
        let place = self.places[&id];
        let refuse = |why: String| Err(format!("{id} {step:?}: {why}"));
        let is_in = |view: View| place.view == view && place.left_for.is_none();
        match step {
            Step::Votes(said @ (view, digest)) => {
                if !is_in(view) {
                    return refuse(format!("it is in {} and left for {:?}", place.view, place.left_for));
                }
                if let Some(other) = place.voted.filter(|(at, other)| *at == view && *other != digest) {
                    return refuse(format!("it voted for {other:?} before"));
                }
                if let Some(due) = place.proposed.filter(|due| *due != digest) {
                    return refuse(format!("its view proposes {due:?}"));
                }
                self.votes.entry(said).or_default().insert(id);
                self.place(id).voted = Some(said);
            }
            Step::IsPrepared(said @ (view, _)) => {
                if !is_in(view) || place.voted != Some(said) {
                    return refuse(format!(
                        "it is in {}, left for {:?}, voted {:?}",
                        place.view, place.left_for, place.voted
                    ));
                }
                if !self.is_certified(said) {
                    return refuse("too few voted for that".to_owned());
                }
                self.commits.entry(said).or_default().insert(id);
                self.place(id).prepared = Some(said);
            }
            Step::Decides(said @ (_, digest)) => {
                if !self.is_quorum(self.commits.get(&said)) {
                    return refuse("too few are prepared for that".to_owned());
                }
                if let Some((by, other)) = self
                    .places
                    .iter()
                    .find_map(|(by, place)| place.decided.filter(|other| *other != digest).map(|other| (by, other)))
                {
                    return refuse(format!("{by} decided {other:?}"));
                }
                self.place(id).decided = Some(digest);
            }
            Step::Leaves(view, claim) => {
                if view <= place.view.max(place.left_for.unwrap_or_default()) {
                    return refuse(format!("it is in {} and left for {:?}", place.view, place.left_for));
                }
                let due = place.prepared.filter(|_| !place.settled);
                if claim != due {
                    return refuse(format!("it was prepared for {due:?}"));
                }
                self.claims.entry(view).or_default().insert(id, claim);
                self.place(id).left_for = Some(view);
            }
            Step::Enters(view, proposed) => {
                if view <= place.view || place.left_for.is_some_and(|target| view < target) {
                    return refuse(format!("it is in {} and left for {:?}", place.view, place.left_for));
                }
                self.follows(view, proposed).or_else(refuse)?;
                let at = self.place(id);
                (at.view, at.left_for, at.proposed) = (view, None, proposed);
            }
            Step::Settles => self.place(id).settled = true,
        }
        Ok(())
    }

    fn place(&mut self, id: ReplicaId) -> &mut Place {
        self.places.get_mut(&id).expect("only honest replicas take steps")
    }

    /// Whether these and the Byzantine replicas are a quorum. Without any of these there is nothing to find.
    fn is_quorum(&self, honest: Option<&BTreeSet<ReplicaId>>) -> bool {
        honest.is_some_and(|honest| self.quorum <= honest.len() + self.byzantine)
    }

    fn is_certified(&self, said: Said) -> bool {
        self.is_quorum(self.votes.get(&said))
    }

    /// Whether some quorum of claims for a view gives the slot this proposal.
    fn follows(&self, view: View, proposed: Option<Digest>) -> Result<(), String> {
        let none = BTreeMap::new();
        let claims = self.claims.get(&view).unwrap_or(&none);
        // What the highest claim may be: that of an honest replica, or any for which a Byzantine one can show a certificate.
        let certified = |digest: Digest| {
            let certified = self.votes.keys().copied().filter(move |said| said.1 == digest && said.0 < view);
            certified.filter(|said| self.is_certified(*said)).map(Some)
        };
        let mut highest: Vec<Option<Said>> = proposed.into_iter().flat_map(certified).collect();
        if proposed.is_none_or(|digest| digest == self.null) {
            highest.push(None);
        }
        let is_enough = |highest: &Option<Said>| {
            let fits =
                |claim: &Option<Said>| claim.map(|claim| claim.0) < highest.map(|claim| claim.0) || claim == highest;
            let honest = claims.values().filter(|claim| fits(claim));
            let is_claimed = highest.is_none() || 0 < self.byzantine || claims.values().any(|claim| claim == highest);
            is_claimed && self.quorum <= honest.count() + self.byzantine
        };
        if highest.iter().any(is_enough) { Ok(()) } else { Err(format!("it does not follow from {claims:?}")) }
    }
}
