//! Whoever asks it for a state gets a wrong one.

use super::{Adversary, Stage, whole};
use crate::plan::TransferLie;
use cretoai_core::bytes::Bytes;
use cretoai_core::ledger::Manifest;
use cretoai_core::message::{Data, Message};
use cretoai_core::outbox::Envelope;
use std::sync::Arc;

/// Serves wrong states.
#[derive(Debug)]
pub(super) struct TransferLiar {
    lie: TransferLie,
}

impl TransferLiar {
    pub(super) fn new(lie: TransferLie) -> Self {
        Self { lie }
    }

    /// What it serves instead; nothing if it serves nothing.
    fn instead(&self, stage: &mut Stage<'_>, data: &Data) -> Option<Data> {
        Some(match (self.lie, data) {
            (TransferLie::Withhold, _) => return None,
            (TransferLie::FlippedChunk, Data::Chunk(chunk)) => {
                let mut bytes = chunk.0.clone();
                bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
                Data::Chunk(Arc::new(Bytes(bytes)))
            }
            (TransferLie::ShortChunk, Data::Chunk(chunk)) => {
                let bytes = chunk.0.iter().take(chunk.0.len() / 2).copied().collect();
                Data::Chunk(Arc::new(Bytes(bytes)))
            }
            (TransferLie::OtherManifest, Data::Manifest(manifest)) => {
                let mut other = Manifest::clone(manifest);
                let digest = stage.some_digest();
                other.app.iter_mut().for_each(|hash| *hash = digest);
                Data::Manifest(Arc::new(other))
            }
            (TransferLie::LongManifest, Data::Manifest(manifest)) => {
                let mut other = Manifest::clone(manifest);
                other.app.push(stage.some_digest());
                Data::Manifest(Arc::new(other))
            }
            (_, other) => other.clone(),
        })
    }
}

impl Adversary for TransferLiar {
    fn sends(&mut self, stage: &mut Stage<'_>, _puppet: usize, envelope: Envelope) {
        let to = whole(envelope.to);
        let message = match envelope.message {
            Message::Data(data) => self.instead(stage, &data).map(|data| Message::Data(Arc::new(data))),
            other => Some(other),
        };
        if let Some(message) = message {
            stage.say(to, message);
        }
    }
}
