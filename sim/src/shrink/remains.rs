//! What is left of a failure, by what it is for.

use crate::meta::Meta;
use crate::plan::{Happening, Kind, Plan, from_hex};
use cretoai_core::wire::decode;

/// Stages of the protocol, with the kinds of messages that make them up.
const STAGES: [(&str, &[Kind]); 6] = [
    ("requests", &[Kind::Request]),
    ("vertices and states", &[Kind::Vertex, Kind::Fetch, Kind::Data]),
    ("order", &[Kind::PrePrepare, Kind::Prepare, Kind::Commit]),
    ("checkpoints", &[Kind::Checkpoint, Kind::StableCheckpoint]),
    ("view changes", &[Kind::ViewChange, Kind::NewView]),
    ("catching up", &[Kind::Status, Kind::Certificates, Kind::Recollection]),
];

/// What a run that is spelled out consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// How many deliveries belong to each stage of the protocol, those that there are.
    pub stages: Vec<(&'static str, u64)>,
    /// Faults.
    pub faults: u64,
    /// The different slots that messages are about.
    pub slots: u64,
    /// The highest view of a message.
    pub view: u64,
}

impl Remains {
    /// Of a plan that has a transcript.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let Some(transcript) = &plan.transcript else { return Self::default() };
        let mut kinds = Vec::new();
        let mut slots = std::collections::BTreeSet::new();
        let mut remains = Self::default();
        for step in &transcript.steps {
            let (kind, view, about) = match &step.what {
                Happening::Fault(_) => {
                    remains.faults += 1;
                    continue;
                }
                Happening::Request { .. } => (Kind::Request, None, None),
                Happening::Deliver { message, .. } => (message.kind, message.view, message.slots),
                Happening::Said { message, .. } => {
                    let bytes = from_hex(&transcript.said[*message]).unwrap_or_default();
                    let Ok(message) = decode(&bytes, bytes.len()) else { continue };
                    let Meta { kind, view, slots, .. } = Meta::of(&message);
                    (kind, view, slots)
                }
            };
            kinds.push(kind);
            // The views that liars speak of are not all passed through, so those of the honest count.
            if matches!(step.what, Happening::Deliver { .. }) {
                remains.view = remains.view.max(view.unwrap_or(0));
            }
            slots.extend(about.filter(|(first, last)| first == last));
        }
        let stage = |(name, of): &(&'static str, &[Kind])| {
            let count = kinds.iter().filter(|kind| of.contains(kind)).count();
            (*name, count as u64)
        };
        remains.stages = STAGES.iter().map(stage).filter(|(_, count)| 0 < *count).collect();
        remains.slots = slots.len() as u64;
        remains
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, Name, Step, Transcript};

    #[test]
    fn what_is_left_is_counted_by_stage() {
        let deliver = |kind, view, slot: u64| {
            let slots = Some((slot, slot));
            Happening::Deliver { to: 1, message: Name { from: 0, kind, view: Some(view), slots, nth: 0 } }
        };
        let happenings = vec![
            Happening::Request { to: 0, operation: 0 },
            deliver(Kind::Prepare, 0, 1),
            deliver(Kind::Commit, 2, 1),
            deliver(Kind::Commit, 0, 3),
            Happening::Fault(Fault::Heal),
        ];
        let steps = happenings.into_iter().map(|what| Step { at_ns: 1, what }).collect();
        let transcript = Transcript { steps, ..Transcript::default() };
        let remains = Remains::of(&Plan { transcript: Some(transcript), ..Plan::default() });
        assert_eq!(remains.stages, [("requests", 1), ("order", 3)]);
        assert_eq!((remains.faults, remains.slots, remains.view), (1, 2, 2));
        assert_eq!(Remains::of(&Plan::default()), Remains::default());
    }
}
