//! The first words on a connection: which protocol, which chain, who.
//!
//! TLS has shown by then that each end has the key of a member. But whoever calls learns only from an answer that it
//! was let in, and neither knows yet whether the other speaks of the same chain.

use super::stats::Refusal;
use cretoai_core::config::{Chain, ChainId};
use cretoai_core::hash::Digest;
use cretoai_core::ledger::EPOCH;
use cretoai_core::types::ReplicaId;
use quinn::{RecvStream, SendStream};

/// The version of links: of the hello, the streams and the frames.
const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"cretoai\0";

/// The magic and the version, which every version begins with.
const HEAD_BYTES: usize = 8 + 2;

/// The chain, the epoch and the sender.
const BODY_BYTES: usize = 32 + 8 + 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) version: u16,
    pub(super) chain: ChainId,
    pub(super) epoch: u64,
    pub(super) sender: ReplicaId,
}

impl Hello {
    pub(super) fn new(chain: &Chain, sender: ReplicaId) -> Self {
        Self { version: VERSION, chain: chain.id, epoch: EPOCH, sender }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + BODY_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.chain.0);
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.sender.0.to_be_bytes());
        bytes
    }

    fn check_head(head: &[u8; HEAD_BYTES]) -> Result<(), Refusal> {
        if head[..8] != MAGIC {
            return Err(Refusal::Magic);
        }
        if head[8..] != VERSION.to_be_bytes() {
            return Err(Refusal::Version);
        }
        Ok(())
    }

    fn decode_body(body: &[u8; BODY_BYTES]) -> Self {
        let mut chain = [0; 32];
        chain.copy_from_slice(&body[..32]);
        let mut epoch = [0; 8];
        epoch.copy_from_slice(&body[32..40]);
        let sender = ReplicaId(u16::from_be_bytes([body[40], body[41]]));
        Self { version: VERSION, chain: Digest(chain), epoch: u64::from_be_bytes(epoch), sender }
    }

    /// Whether a peer that says hello like this is on the same chain as one that would say `self`.
    fn check(&self, theirs: &Self, peer: ReplicaId) -> Result<(), Refusal> {
        if theirs.chain != self.chain {
            return Err(Refusal::Chain);
        }
        if theirs.epoch != self.epoch {
            return Err(Refusal::Epoch);
        }
        if theirs.sender != peer {
            return Err(Refusal::Sender);
        }
        Ok(())
    }
}

/// Why there is no link.
#[derive(Debug)]
pub(super) enum HelloError {
    /// This end refuses the other.
    Refused(Refusal),
    /// The connection ended.
    Lost,
}

impl From<Refusal> for HelloError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Says hello.
pub(super) async fn say(ours: &Hello, mut stream: SendStream) -> Result<(), HelloError> {
    stream.write_all(&ours.encode()).await.map_err(|_| HelloError::Lost)?;
    // Its end is not waited for: the answer, or the first frame, shows that it arrived.
    stream.finish().map_err(|_| HelloError::Lost)
}

/// Reads the hello of a peer that has shown the key of `peer`.
pub(super) async fn hear(ours: &Hello, peer: ReplicaId, mut stream: RecvStream) -> Result<(), HelloError> {
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await.map_err(|_| HelloError::Lost)?;
    Hello::check_head(&head)?;
    let mut body = [0; BODY_BYTES];
    stream.read_exact(&mut body).await.map_err(|_| HelloError::Lost)?;
    ours.check(&Hello::decode_body(&body), peer)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_read_as_it_was_said_and_every_difference_has_a_reason() {
        let ours = Hello { version: VERSION, chain: Digest([1; 32]), epoch: 0, sender: ReplicaId(1) };
        let theirs = Hello { sender: ReplicaId(0x203), epoch: 0x0405, ..ours };
        let bytes = theirs.encode();
        let (head, body) = bytes.split_at(HEAD_BYTES);
        let head: [u8; HEAD_BYTES] = head.try_into().expect("its length");
        assert_eq!(Hello::check_head(&head), Ok(()));
        assert_eq!(Hello::decode_body(body.try_into().expect("its length")), theirs);
        let mut other = head;
        other[0] ^= 1;
        assert_eq!(Hello::check_head(&other), Err(Refusal::Magic));
        other = head;
        other[9] ^= 1;
        assert_eq!(Hello::check_head(&other), Err(Refusal::Version));
        let peer = ReplicaId(2);
        let good = Hello { sender: peer, ..ours };
        assert_eq!(ours.check(&good, peer), Ok(()));
        assert_eq!(ours.check(&Hello { chain: Digest([2; 32]), ..good }, peer), Err(Refusal::Chain));
        assert_eq!(ours.check(&Hello { epoch: 1, ..good }, peer), Err(Refusal::Epoch));
        assert_eq!(ours.check(&good, ReplicaId(3)), Err(Refusal::Sender));
    }
}
