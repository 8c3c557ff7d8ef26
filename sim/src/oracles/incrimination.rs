//! O4: nothing that a correct replica releases is evidence against it (`docs/protocol.md` O4, X2).
//!
//! The predicates are written anew, here and in `audit`: an error in the protocol's own would blind an oracle that used
//! them.

use super::Finding;
use super::votes::VoteTable;
use crate::audit::{follows, well_formed};
use cretoai_core::config::Chain;
use cretoai_core::hash::Digest;
use cretoai_core::message::{Message, NewView, NewViewMessage, Signed, ViewChange};
use cretoai_core::types::{Height, ReplicaId, Slot, View};
use cretoai_core::vote::{Phase, Vote};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What every replica has said.
#[derive(Debug)]
pub(super) struct Incrimination {
    chain: Arc<Chain>,
    said: Vec<Said>,
}

#[derive(Clone, Debug, Default)]
struct Said {
    prepares: VoteTable,
    commits: VoteTable,
    view_changes: BTreeMap<View, Arc<Signed<ViewChange>>>,
    new_views: BTreeMap<View, NewView>,
    checkpoints: BTreeMap<Slot, Digest>,
    vertices: BTreeMap<Height, Digest>,
}

/// Checkpoints and vertices that are remembered, of each replica.
const REMEMBERED: usize = 1024;

impl Incrimination {
    pub(super) fn new(chain: &Arc<Chain>) -> Self {
        Self { chain: Arc::clone(chain), said: vec![Said::default(); usize::from(chain.committee.n())] }
    }

    /// A message left a replica. Also what it signed and others relay was released by it before.
    pub(super) fn released(&mut self, id: ReplicaId, message: &Message) -> Finding {
        let said = &mut self.said[id.index()];
        let finding = match message {
            Message::Vote(vote) if vote.signer == id => said.vote(&vote.body),
            Message::PrePrepare(message) if message.vote.signer == id => said.vote(&message.vote.body),
            Message::ViewChange(message) if message.signed.signer == id => {
                said.view_change(&message.signed, &self.chain)
            }
            Message::NewView(message) if message.signed.signer == id => said.new_view(message, &self.chain),
            Message::Checkpoint(vote) if vote.signer == id => {
                remember(&mut said.checkpoints, vote.body.slot, vote.body.state)
                    .map_err(|()| format!("two states at {} (E8)", vote.body.slot))
            }
            Message::Vertex(vertex) if vertex.signer == id => {
                remember(&mut said.vertices, vertex.body.height, vertex.id())
                    .map_err(|()| format!("two vertices of height {} (E9)", vertex.body.height))
            }
            _ => Ok(()),
        };
        finding.map_err(|what| format!("{id} sent {what}"))
    }
}

/// One digest for each key, for ever (or nearly).
fn remember<K: Ord + Copy>(known: &mut BTreeMap<K, Digest>, key: K, digest: Digest) -> Result<(), ()> {
    let same = *known.entry(key).or_insert(digest) == digest;
    if known.len() > REMEMBERED {
        known.pop_first();
    }
    if same { Ok(()) } else { Err(()) }
}

impl Said {
    fn vote(&mut self, vote: &Vote) -> Finding {
        for (slot, digest) in vote.entries.iter() {
            let (table, kind) = match vote.phase {
                Phase::Prepare => (&mut self.prepares, "E1"),
                Phase::Commit => (&mut self.commits, "E2"),
            };
            if table.insert(slot, vote.view, digest) {
                return Err(format!("two votes for {slot} in {} ({kind})", vote.view));
            }
        }
        // docs/protocol.md V1: nothing of a lower view after a VIEW-CHANGE, whether or not it is evidence.
        match self.view_changes.last_key_value() {
            Some((left, _)) if vote.view < *left => {
                Err(format!("a vote in {} after its VIEW-CHANGE for {left}", vote.view))
            }
            _ => Ok(()),
        }
    }

    fn view_change(&mut self, signed: &Arc<Signed<ViewChange>>, chain: &Chain) -> Finding {
        let body = &signed.body;
        if let Some(known) = self.view_changes.get(&body.view) {
            return if known.body == *body { Ok(()) } else { Err(format!("two VIEW-CHANGEs for {} (E3)", body.view)) };
        }
        well_formed(body, chain).map_err(|what| format!("a VIEW-CHANGE for {} with {what} (E11)", body.view))?;
        let tables = [(&self.commits, &body.prepared, "E4"), (&self.prepares, &body.voted, "E5")];
        for (table, claims, kind) in tables {
            for (slot, view, said) in table.above(body.stable) {
                let claim = claims.iter().find(|claim| claim.slot == slot);
                let owned_up =
                    claim.is_some_and(|claim| view < claim.view || view == claim.view && said == claim.digest.short());
                if view < body.view && !owned_up {
                    return Err(format!(
                        "a VIEW-CHANGE for {} that hides its vote for {slot} in {view} ({kind})",
                        body.view
                    ));
                }
            }
        }
        self.view_changes.insert(body.view, Arc::clone(signed));
        while self.view_changes.len() > REMEMBERED {
            self.view_changes.pop_first();
        }
        Ok(())
    }

    fn new_view(&mut self, message: &NewViewMessage, chain: &Chain) -> Finding {
        let body = &message.signed.body;
        if let Some(known) = self.new_views.get(&body.view) {
            return if known == body { Ok(()) } else { Err(format!("two NEW-VIEWs for {} (E12)", body.view)) };
        }
        self.new_views.insert(body.view, body.clone());
        follows(message, chain).map_err(|what| format!("a NEW-VIEW for {} in which {what} (E7)", body.view))
    }
}
