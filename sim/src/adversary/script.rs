//! It says exactly what the plan tells it to say, when the plan tells it to.

use super::{Adversary, Stage, whole};
use crate::plan::{ScriptAction, ScriptBatch, ScriptStep};
use crate::rules::set_or_all;
use cretoai_core::batch::{Batch, NULL_BATCH};
use cretoai_core::certificate::Claim;
use cretoai_core::checkpoint::CheckpointVote;
use cretoai_core::hash::Digest;
use cretoai_core::hashed::Hashed;
use cretoai_core::message::{Message, ViewChange};
use cretoai_core::outbox::Envelope;
use cretoai_core::signature::Statement;
use cretoai_core::time::Instant;
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::verify::Verified;
use cretoai_core::vertex::SignedVertex;
use cretoai_core::vote::Phase;
use std::sync::Arc;

/// Follows a script.
#[derive(Debug)]
pub(super) struct Script {
    steps: Vec<ScriptStep>,
    next: usize,
    batches: Vec<(ScriptBatch, Option<Batch>)>,
    honest: bool,
    /// Vertices, in the order in which it came to hold them.
    held: Vec<Arc<SignedVertex>>,
}

impl Script {
    pub(super) fn new(steps: &[ScriptStep], batches: &[ScriptBatch], honest: bool) -> Self {
        let mut steps = steps.to_vec();
        steps.sort_by_key(|step| step.at_us);
        let batches = batches.iter().map(|batch| (batch.clone(), None)).collect();
        Self { steps, next: 0, batches, honest, held: Vec::new() }
    }

    fn hold(&mut self, vertex: &Arc<SignedVertex>) {
        if !self.held.iter().any(|known| known.id() == vertex.id()) {
            self.held.push(Arc::clone(vertex));
        }
    }

    /// A batch by its name; made when it is first spoken of.
    fn batch(&mut self, stage: &Stage<'_>, name: &str) -> Batch {
        let entry = self.batches.iter_mut().find(|(batch, _)| batch.name == name);
        let (spec, made) = entry.unwrap_or_else(|| panic!("the script has no batch `{name}`"));
        let held = &self.held;
        let id = |index: &u32| {
            let vertex = held.get(*index as usize);
            vertex.unwrap_or_else(|| panic!("the script speaks of vertex {index} before there are so many")).id()
        };
        let make = || Batch {
            ts: Instant(stage.time.0.saturating_add_signed(spec.ts_offset_us * 1000)),
            vertices: spec.vertices.iter().map(id).collect(),
        };
        made.get_or_insert_with(make).clone()
    }

    fn digest(&mut self, stage: &Stage<'_>, name: &str) -> Digest {
        if name == "null" { NULL_BATCH } else { Hashed::new(self.batch(stage, name)).digest() }
    }

    fn claims(&mut self, stage: &Stage<'_>, claims: &[(u64, u64, String)]) -> Vec<Claim> {
        let claim = |(slot, view, name): &(u64, u64, String)| Claim {
            slot: Slot(*slot),
            view: View(*view),
            digest: self.digest(stage, name),
        };
        claims.iter().map(claim).collect()
    }

    fn say(&mut self, stage: &mut Stage<'_>, step: &ScriptStep) {
        let message = match &step.say {
            ScriptAction::Propose { view, slot, batch } => {
                let batch = self.batch(stage, batch);
                stage.propose(View(*view), Slot(*slot), batch).1
            }
            ScriptAction::Prepare { view, slot, batch } => {
                let digest = self.digest(stage, batch);
                stage.vote(Phase::Prepare, View(*view), Slot(*slot), digest)
            }
            ScriptAction::Commit { view, slot, batch } => {
                let digest = self.digest(stage, batch);
                stage.vote(Phase::Commit, View(*view), Slot(*slot), digest)
            }
            ScriptAction::Checkpoint { slot } => {
                let body = CheckpointVote { slot: Slot(*slot), state: stage.some_digest() };
                Message::Checkpoint(stage.sign(body, |body| Statement::Checkpoint(body)))
            }
            ScriptAction::ViewChange { view, prepared, voted } => {
                let body = ViewChange {
                    view: View(*view),
                    stable: Slot(0),
                    state: stage.chain.id,
                    prepared: self.claims(stage, prepared),
                    voted: self.claims(stage, voted),
                };
                Message::ViewChange(Arc::new(stage.view_change(body, None)))
            }
            ScriptAction::Vertex { vertex } => Message::Vertex(Arc::clone(&self.held[*vertex as usize])),
        };
        stage.say(set_or_all(&step.to), message);
    }
}

impl Adversary for Script {
    fn start(&mut self, stage: &mut Stage<'_>) {
        stage.wakes.extend(self.steps.iter().map(|step| step.at_us * 1000));
    }

    fn receives(&mut self, _stage: &mut Stage<'_>, _from: ReplicaId, message: &Verified<Message>) -> u32 {
        if let Message::Vertex(vertex) = message.get() {
            self.hold(vertex);
        }
        u32::MAX
    }

    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        if let Message::Vertex(vertex) = &envelope.message {
            self.hold(vertex);
        }
        // Vertices it makes are its own business, and others need them.
        if self.honest || matches!(envelope.message, Message::Vertex(_)) {
            stage.say(whole(envelope.to), envelope.message);
        }
    }

    fn wakes(&mut self, stage: &mut Stage<'_>) {
        while let Some(step) = self.steps.get(self.next).filter(|step| step.at_us * 1000 <= stage.now).cloned() {
            self.next += 1;
            self.say(stage, &step);
        }
    }
}
