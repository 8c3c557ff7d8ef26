//! Whatever honest replicas put on record in simulated runs is a step that the model of one slot allows.

mod model;

use cretoai_core::batch::NULL_BATCH;
use cretoai_core::committee::Committee;
use cretoai_core::hash::Digest;
use cretoai_core::message::NewView;
use cretoai_core::record::Record;
use cretoai_core::types::{ReplicaId, Slot};
use cretoai_sim::observe::{TraceEvent, TraceSink, What};
use cretoai_sim::plan::Plan;
use cretoai_sim::swarm;
use cretoai_sim::world::World;
use model::{Model, Step};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// From records to steps of one model for each slot. The models share nothing but the views that replicas are in.
#[derive(Debug)]
struct Refinement {
    honest: Vec<ReplicaId>,
    /// A slot of which nothing was said yet, in the views where replicas are now.
    blank: Model,
    slots: BTreeMap<Slot, Model>,
    /// Steps that were taken, by kind.
    steps: [u64; 6],
    wrong: Option<String>,
}

impl Refinement {
    fn new(plan: &Plan) -> Self {
        let committee = Committee::new(plan.n).expect("swarms tolerate faults");
        let (byzantine, honest): (Vec<_>, Vec<_>) = committee.members().partition(|id| plan.is_byzantine(id.0));
        let blank = Model::new(&honest, usize::from(committee.quorum()), byzantine.len(), NULL_BATCH);
        Self { honest, blank, slots: BTreeMap::new(), steps: [0; 6], wrong: None }
    }

    fn step(&mut self, slot: Slot, id: ReplicaId, step: Step) {
        let kind = match step {
            Step::Votes(_) => 0,
            Step::IsPrepared(_) => 1,
            Step::Decides(_) => 2,
            Step::Leaves(..) => 3,
            Step::Enters(..) => 4,
            Step::Settles => 5,
        };
        self.steps[kind] += 1;
        let model = self.slots.entry(slot).or_insert_with(|| self.blank.clone());
        if let Err(why) = model.step(id, step) {
            self.wrong.get_or_insert(format!("{slot}: {why}"));
        }
    }

    /// A step that concerns every slot, those of which nothing is known included.
    fn everywhere(&mut self, id: ReplicaId, step: impl Fn(Slot) -> Option<Step>) {
        // No slot is as high as this one, so it stands for all that nobody has spoken of.
        if let Some(step) = step(Slot(u64::MAX))
            && let Err(why) = self.blank.step(id, step)
        {
            self.wrong.get_or_insert(format!("a slot that nobody spoke of: {why}"));
        }
        for slot in self.slots.keys().copied().collect::<Vec<_>>() {
            if let Some(step) = step(slot) {
                self.step(slot, id, step);
            }
        }
    }

    /// A record of an honest replica is durable.
    fn recorded(&mut self, id: ReplicaId, record: &Record) {
        match record {
            Record::Voted(view, slot, digest) => self.step(*slot, id, Step::Votes((*view, *digest))),
            Record::Prepared(certificate) => {
                let claim = certificate.claim;
                self.step(claim.slot, id, Step::IsPrepared((claim.view, claim.digest)));
            }
            Record::Committed(certificate) => {
                let claim = certificate.claim;
                self.step(claim.slot, id, Step::Decides((claim.view, claim.digest)));
            }
            Record::Stable(proof) => {
                let low = proof.vote.slot;
                self.everywhere(id, |slot| (slot <= low).then_some(Step::Settles));
            }
            Record::ViewChangeSent(message) => {
                let body = &message.signed.body;
                self.everywhere(id, |slot| {
                    let claim = body.prepared.iter().find(|claim| claim.slot == slot);
                    Some(Step::Leaves(body.view, claim.map(|claim| (claim.view, claim.digest))))
                });
            }
            Record::NewViewInstalled(message) => {
                let body = &message.signed.body;
                for (slot, _) in &body.proposals {
                    self.slots.entry(*slot).or_insert_with(|| self.blank.clone());
                }
                self.everywhere(id, |slot| enters(body, slot));
            }
            _ => {}
        }
    }
}

/// What a NEW-VIEW says of a slot. Of those behind its checkpoint it says nothing, and nobody votes for them in its view.
fn enters(body: &NewView, slot: Slot) -> Option<Step> {
    let proposed = body.proposals.iter().find(|(at, _)| *at == slot).map(|(_, digest)| *digest);
    Some(Step::Enters(body.view, proposed)).filter(|_| body.stable < slot)
}

/// Listens to a run, and tells of each record what somebody wants it to be.
struct Listener(Rc<RefCell<Refinement>>, fn(Record) -> Option<Record>);

impl TraceSink for Listener {
    fn event(&mut self, event: &TraceEvent<'_>) {
        let mut refinement = self.0.borrow_mut();
        if let (Some(id), What::Recorded(record)) = (event.replica, event.what)
            && refinement.honest.contains(&id)
            && let Some(record) = self.1(record.clone())
        {
            refinement.recorded(id, &record);
        }
    }
}

fn refine(plan: &Plan, told: fn(Record) -> Option<Record>) -> Refinement {
    let refinement = Rc::new(RefCell::new(Refinement::new(plan)));
    let mut world = World::new();
    world.listen(Some(Box::new(Listener(Rc::clone(&refinement), told))));
    world.run(plan);
    drop(world.take_listener());
    Rc::try_unwrap(refinement).expect("nobody listens any more").into_inner()
}

#[test]
fn whatever_honest_replicas_record_is_a_step_of_the_model() {
    let mut steps = [0; 6];
    for seed in 0..300 {
        let plan = swarm::plan(seed);
        let refinement = refine(&plan, Some);
        assert_eq!(refinement.wrong, None, "seed {seed}");
        steps.iter_mut().zip(refinement.steps).for_each(|(all, more)| *all += more);
    }
    assert!(steps.iter().all(|count| 1000 < *count), "every kind of step is taken: {steps:?}");
}

/// What is wrong with the first run that shows it when records are told differently.
fn notices(told: fn(Record) -> Option<Record>) -> String {
    let wrong = (0..100).find_map(|seed| refine(&swarm::plan(seed), told).wrong);
    wrong.expect("a hundred runs have such a record")
}

#[test]
fn a_vote_that_is_not_told_of_is_missed() {
    let wrong = notices(|record| Some(record).filter(|record| !matches!(record, Record::Voted(..))));
    assert!(wrong.contains("IsPrepared") && wrong.contains("voted None"), "{wrong}");
}

#[test]
fn a_claim_that_is_left_out_is_noticed() {
    let wrong = notices(|record| match record {
        Record::ViewChangeSent(message) => {
            let mut message = (*message).clone();
            Arc::make_mut(&mut message.signed).body.prepared.clear();
            Some(Record::ViewChangeSent(Arc::new(message)))
        }
        other => Some(other),
    });
    assert!(wrong.contains("Leaves") && wrong.contains("it was prepared for Some"), "{wrong}");
}

#[test]
fn a_view_that_proposes_something_else_is_noticed() {
    let wrong = notices(|record| match record {
        Record::NewViewInstalled(message) => {
            let mut message = (*message).clone();
            message.signed.body.proposals.iter_mut().for_each(|(_, digest)| *digest = Digest([7; 32]));
            Some(Record::NewViewInstalled(Arc::new(message)))
        }
        other => Some(other),
    });
    assert!(wrong.contains("Enters") && wrong.contains("it does not follow from"), "{wrong}");
}

#[test]
fn a_vote_in_another_view_is_noticed() {
    let wrong = notices(|record| match record {
        Record::Voted(view, slot, digest) => Some(Record::Voted(view.next(), slot, digest)),
        other => Some(other),
    });
    assert!(wrong.contains("Votes") && wrong.contains("it is in"), "{wrong}");
}

#[test]
fn a_decision_without_those_who_prepared_it_is_noticed() {
    let wrong = notices(|record| Some(record).filter(|record| !matches!(record, Record::Prepared(_))));
    assert!(wrong.contains("Decides") && wrong.contains("too few are prepared"), "{wrong}");
}

#[test]
fn a_decision_of_another_batch_is_noticed() {
    let wrong = notices(|record| match record {
        Record::Committed(certificate) => {
            let mut certificate = (*certificate).clone();
            certificate.claim.digest = Digest([7; 32]);
            Some(Record::Committed(Arc::new(certificate)))
        }
        other => Some(other),
    });
    assert!(wrong.contains("Decides"), "{wrong}");
}
