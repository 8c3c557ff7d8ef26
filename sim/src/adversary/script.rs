//! It says exactly what the plan tells it to say, when the plan tells it to.

use super::{Adversary, Stage, whole};
use crate::plan::{ScriptAction, ScriptBatch, ScriptStep, VertexFlaw};
use crate::rules::set_or_all;
use cretoai_core::batch::{Batch, NULL_BATCH};
use cretoai_core::bytes::Bytes;
use cretoai_core::certificate::Claim;
use cretoai_core::checkpoint::CheckpointVote;
use cretoai_core::hash::Digest;
use cretoai_core::hashed::Hashed;
use cretoai_core::message::{Message, ViewChange};
use cretoai_core::outbox::Envelope;
use cretoai_core::request::{ClientRequest, Request};
use cretoai_core::signature::{Signature, Statement};
use cretoai_core::time::Instant;
use cretoai_core::types::{Height, ReplicaId, Slot, View};
use cretoai_core::verify::Verified;
use cretoai_core::vertex::{Link, Payload, Reference, SignedVertex, Vertex};
use cretoai_core::vote::{Phase, Vote};
use std::sync::Arc;

/// More bytes than a vertex may have.
const TOO_LARGE: usize = 1 << 17;

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
    fn batch(&mut self, stage: &mut Stage<'_>, name: &str) -> Batch {
        let entry = self.batches.iter_mut().find(|(batch, _)| batch.name == name);
        let (spec, made) = entry.unwrap_or_else(|| panic!("the script has no batch `{name}`"));
        let id = |index: &u32| vertex(&self.held, *index).id();
        if made.is_none() {
            let invented = (0..spec.invented).map(|_| stage.some_digest());
            let vertices = spec.vertices.iter().map(id).chain(invented).collect();
            let ts = Instant(stage.time.0.saturating_add_signed(spec.ts_offset_us * 1000));
            *made = Some(Batch { ts, vertices });
        }
        made.clone().expect("just made")
    }

    /// A vertex that it holds.
    fn vertex(&self, index: u32) -> &Arc<SignedVertex> {
        vertex(&self.held, index)
    }

    /// A vertex of its own, with what the script says about it.
    fn author(&self, stage: &mut Stage<'_>, action: &ScriptAction) -> Arc<SignedVertex> {
        let ScriptAction::Author { requests_of, after, refs, invented_ref, height, flaw } = action else {
            unreachable!("only called for such an action");
        };
        let parent = |index: &u32| {
            let parent = self.vertex(*index);
            Reference { author: parent.author(), height: parent.body.height, id: parent.id() }
        };
        let mut refs: Vec<Reference> = refs.iter().map(parent).collect();
        refs.extend(invented_ref.map(|author| {
            let id = stage.some_digest();
            Reference { author: ReplicaId(author), height: Height(1), id }
        }));
        refs.sort_by_key(|parent| parent.author);
        let prev = after.map_or_else(
            || Link::genesis(stage.chain.id),
            |after| {
                let prev = self.vertex(after);
                Link { height: prev.body.height, id: prev.id() }
            },
        );
        let requests = requests_of.iter().flat_map(|index| self.vertex(*index).body.requests().to_vec());
        let payload = Payload::Requests(requests.collect());
        let mut vertex = Vertex { author: stage.id, height: Height(0), ts: stage.time, prev, refs, payload };
        vertex.height = height.map_or_else(|| vertex.due_height(), Height);
        if let Some(flaw) = flaw {
            spoil(stage, &mut vertex, *flaw);
        }
        stage.vertex(vertex)
    }

    fn digest(&mut self, stage: &mut Stage<'_>, name: &str) -> Digest {
        if name == "null" { NULL_BATCH } else { Hashed::new(self.batch(stage, name)).digest() }
    }

    fn claims(&mut self, stage: &mut Stage<'_>, claims: &[(u64, u64, String)]) -> Vec<Claim> {
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
            ScriptAction::Prepare { view, slot, batch, hand } => {
                let digest = self.digest(stage, batch);
                stage.vote_with(*hand, Vote::one(Phase::Prepare, View(*view), Slot(*slot), digest))
            }
            ScriptAction::Commit { view, slot, batch, hand } => {
                let digest = self.digest(stage, batch);
                stage.vote_with(*hand, Vote::one(Phase::Commit, View(*view), Slot(*slot), digest))
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
            ScriptAction::Vertex { vertex } => Message::Vertex(Arc::clone(self.vertex(*vertex))),
            ScriptAction::Author { .. } => {
                let vertex = self.author(stage, &step.say);
                self.hold(&vertex);
                Message::Vertex(vertex)
            }
        };
        stage.say(set_or_all(&step.to), message);
    }
}

fn vertex(held: &[Arc<SignedVertex>], index: u32) -> &Arc<SignedVertex> {
    let vertex = held.get(index as usize);
    vertex.unwrap_or_else(|| panic!("the script speaks of vertex {index} before there are so many"))
}

/// Makes a vertex invalid.
fn spoil(stage: &mut Stage<'_>, vertex: &mut Vertex, flaw: VertexFlaw) {
    let mut requests = vertex.requests().to_vec();
    let mut request = ClientRequest::clone(&requests[0]);
    match flaw {
        VertexFlaw::ClientSignature => request.signature = Some(Signature::new(&stage.some_digest().0[..16])),
        VertexFlaw::Author => vertex.author = ReplicaId((stage.id.0 + 1) % stage.committee().n()),
        VertexFlaw::Size => {
            let body = Request { op: Bytes(vec![0; TOO_LARGE]), ..Request::clone(&request.request) };
            request.request = Hashed::new(body);
        }
    }
    requests[0] = Arc::new(request);
    vertex.payload = Payload::Requests(requests);
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
