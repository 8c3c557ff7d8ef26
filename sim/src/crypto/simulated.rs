//! Simulated signatures: a keyed 128-bit tag of the statement. The keys are drawn from the seed and known to this
//! file alone, so within a simulation a tag is as good as a signature.

use crate::rng::Rng;
use cretoai_core::config::Scheme;
use cretoai_core::request::{Caller, RequestId};
use cretoai_core::signature::{Signature, SignatureVerifier, Signer, SigningContext, Statement};
use cretoai_core::types::ReplicaId;
use cretoai_core::vote::{Entries, Vote};
use postcard::ser_flavors::Flavor;
use std::fmt;
use std::sync::Arc;

const P0: u64 = 0xa076_1d64_78bd_642f;
const P1: u64 = 0xe703_7ed1_a0b4_28db;

/// Mixes two numbers into one: the halves of their product.
#[must_use]
#[inline]
pub fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ P0) * u128::from(b ^ P1);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are folded")]
    {
        product as u64 ^ (product >> 64) as u64
    }
}

/// Hashes bytes as they come, fast and with a key. For tags and trace hashes; not for anything that must resist
/// somebody who knows the key.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    state: [u64; 2],
    /// The bytes that do not yet fill a word, lowest first.
    word: u64,
    /// How many bits they have.
    filled: u32,
    length: u64,
}

impl Mix {
    /// A hasher with a key.
    #[must_use]
    pub fn new(key: [u64; 2]) -> Self {
        Self { state: key, word: 0, filled: 0, length: 0 }
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        let [a, b] = self.state;
        self.state = [mix(a ^ word, b), b.rotate_left(23) ^ word];
    }

    /// Adds up to eight bytes: the lowest ones of a word, whose other bits are zero.
    #[inline]
    fn part(&mut self, bytes: u64, count: u32) {
        self.length += u64::from(count);
        self.word |= bytes << self.filled;
        let filled = self.filled + 8 * count;
        if filled < 64 {
            self.filled = filled;
            return;
        }
        self.absorb(self.word);
        // What did not fit; a shift by all bits is none.
        self.word = bytes.checked_shr(64 - self.filled).unwrap_or(0);
        self.filled = filled - 64;
    }

    /// Adds a byte.
    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.part(u64::from(byte), 1);
    }

    /// Adds bytes.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        self.length += 8 * words.len() as u64;
        for word in words {
            let word = u64::from_le_bytes(*word);
            self.absorb(self.word | word << self.filled);
            self.word = word.checked_shr(64 - self.filled).unwrap_or(0);
        }
        if tail.is_empty() {
            return;
        }
        let rest = tail.iter().rev().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
        self.part(rest, u32::try_from(tail.len()).expect("fewer than eight"));
    }

    /// The hash.
    #[must_use]
    pub fn finish(mut self) -> [u64; 2] {
        self.absorb(self.word);
        self.absorb(self.length);
        let [a, b] = self.state;
        let (first, second) = (mix(a, b ^ P1), mix(b, a ^ P0));
        [first, mix(second, first)]
    }
}

impl Flavor for Mix {
    type Output = [u64; 2];

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.byte(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.bytes(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<[u64; 2]> {
        Ok(self.finish())
    }
}

/// The keys of all replicas, and the one of all callers.
pub(super) struct Secrets {
    keys: Vec<[u64; 2]>,
    callers: [u64; 2],
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

impl Secrets {
    pub(super) fn new(rng: &mut Rng, n: u16) -> Self {
        let mut key = || [rng.next_u64(), rng.next_u64()];
        Self { keys: (0..n).map(|_| key()).collect(), callers: key() }
    }

    /// What stands for public keys: nobody can check a tag without the secret.
    pub(super) fn public(&self) -> Vec<Vec<u8>> {
        self.keys.iter().map(|[a, b]| mix(*a, *b).to_le_bytes().to_vec()).collect()
    }

    /// A hasher that has the head of a replica's statements behind it.
    fn head(&self, context: SigningContext, id: ReplicaId) -> Mix {
        context.write_head(id, Mix::new(self.keys[id.index()]))
    }

    /// The tag of a caller on a request.
    pub(super) fn caller(&self, key: &[u8], id: RequestId) -> Signature {
        let mut hash = Mix::new(self.callers);
        hash.bytes(key);
        hash.bytes(&id.0);
        Signature::new(&flat(hash.finish()))
    }
}

/// The tag of a statement, behind the head of its signer. A vote for one slot, which is nearly every statement, is
/// hashed field by field; everything else by its bytes, the first of which tells its kind, so that neither is ever
/// taken for the other.
#[inline]
fn tag(mut head: Mix, statement: Statement<'_>) -> [u8; 16] {
    statement.as_signed(|statement| {
        let Statement::Vote(Vote { phase, view, entries: Entries::One(slot, digest) }) = statement else {
            return flat(behind(head, statement).finish());
        };
        head.absorb(ONE_SLOT | *phase as u64);
        head.absorb(view.0);
        head.absorb(slot.0);
        digest.0.as_chunks::<8>().0.iter().for_each(|word| head.absorb(u64::from_le_bytes(*word)));
        flat(head.finish())
    })
}

/// A hasher that has a statement behind its head. Whole words are hashed several times as fast as bytes one by one, so a
/// statement that is not long is first written down.
fn behind(mut head: Mix, statement: Statement<'_>) -> Mix {
    let mut short = [0; 512];
    match postcard::to_slice(&statement, &mut short) {
        Ok(bytes) => head.bytes(bytes),
        Err(_) => head = statement.write_behind(head),
    }
    head
}

/// The first word of a vote for one slot. No bytes of another statement begin like this: they begin with its kind.
const ONE_SLOT: u64 = u64::MAX << 1;

/// The tag with a hand other than 0. The hand is signed too: whoever has no secret cannot make another one out of it.
fn tag_with(hand: &[u8], head: Mix, statement: Statement<'_>) -> [u8; 16] {
    let mut mix = statement.write_behind(head);
    mix.bytes(hand);
    flat(mix.finish())
}

fn flat([a, b]: [u64; 2]) -> [u8; 16] {
    (u128::from(a) << 64 | u128::from(b)).to_be_bytes()
}

/// Signs as one replica.
pub(super) struct Pen(Mix);

impl Pen {
    pub(super) fn new(secrets: &Secrets, context: SigningContext, id: ReplicaId) -> Self {
        Self(secrets.head(context, id))
    }
}

impl fmt::Debug for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

impl Signer for Pen {
    fn sign(&self, statement: Statement<'_>) -> Signature {
        Signature::new(&tag(self.0, statement))
    }
}

impl super::Pen for Pen {
    fn sign_with(&self, hand: u64, statement: Statement<'_>) -> Signature {
        if hand == 0 {
            return self.sign(statement);
        }
        let hand = hand.to_le_bytes();
        Signature::new(&[tag_with(&hand, self.0, statement).as_slice(), hand.as_slice()].concat())
    }
}

/// Checks everybody's tags.
pub(super) struct Glasses {
    secrets: Arc<Secrets>,
    heads: Vec<Mix>,
}

impl Glasses {
    pub(super) fn new(secrets: Arc<Secrets>, context: SigningContext) -> Self {
        let ids = (0..).map(ReplicaId).take(secrets.keys.len());
        Self { heads: ids.map(|id| secrets.head(context, id)).collect(), secrets }
    }
}

impl fmt::Debug for Glasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

impl SignatureVerifier for Glasses {
    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
        let Some(head) = self.heads.get(signer.index()) else { return false };
        match signature.bytes().split_at_checked(16) {
            Some((bytes, [])) => tag(*head, statement) == bytes,
            Some((bytes, hand)) => hand.len() == 8 && tag_with(hand, *head, statement) == bytes,
            None => false,
        }
    }

    fn verify_caller(&self, caller: &Caller, id: RequestId, signature: &Signature) -> bool {
        caller.scheme == Scheme::Simulated && self.secrets.caller(&caller.key.0, id) == *signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_the_bytes_are_cut_their_hash_is_the_same() {
        let bytes: Vec<u8> = (0..40).collect();
        let whole = |bytes: &[u8]| {
            let mut mix = Mix::new([1, 2]);
            mix.bytes(bytes);
            mix.finish()
        };
        for cut in 0..bytes.len() {
            let mut mix = Mix::new([1, 2]);
            mix.bytes(&bytes[..cut]);
            mix.bytes(&bytes[cut..]);
            assert_eq!(mix.finish(), whole(&bytes), "cut at {cut}");
            assert_ne!(whole(&bytes[..cut]), whole(&bytes), "prefix of {cut}");
        }
        assert_ne!(whole(&[0]), whole(&[0, 0]));
    }
}
