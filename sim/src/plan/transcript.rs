//! A run spelled out: who was handed what, and when. What `shrink` reduces, and what it leaves in a failure file.

use super::fault::Fault;
use super::rule::Kind;
use serde::{Deserialize, Serialize};

/// Everything that reached a replica that is not Byzantine, step by step. A plan that has a transcript leaves nothing
/// of links, clients and Byzantine replicas to chance: what is not listed does not arrive, until it is calm. Then the
/// replicas that are owed progress are connected as ever, and the transcript goes on for all others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transcript {
    /// The operations that clients submitted.
    pub operations: Vec<Operation>,
    /// What Byzantine replicas said, as the bytes that were sent, in hexadecimal. Whatever of it other replicas must
    /// have signed before is said only if they did.
    pub said: Vec<String>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// An operation, spelled out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Whose.
    pub client: u32,
    /// When it was made.
    pub submitted_ns: u64,
    /// When it expires.
    pub expires_ns: u64,
    /// What makes its request unlike all others, in hexadecimal.
    pub nonce: String,
    /// Its bytes, in hexadecimal.
    pub op: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When; or as soon as there is such a message, if that is later.
    pub at_ns: u64,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Happening {
    /// A message of a replica that follows the protocol was handed to another.
    Deliver {
        /// To this one.
        to: u16,
        /// Which message.
        message: Name,
    },
    /// A message of a Byzantine replica was handed to another.
    Said {
        /// Over the link from this one.
        from: u16,
        /// To this one.
        to: u16,
        /// What, by its place in `said`.
        message: usize,
    },
    /// A request was handed to a replica.
    Request {
        /// To this one.
        to: u16,
        /// Of which operation, by its place in `operations`.
        operation: usize,
    },
    /// A fault.
    Fault(Fault),
}

/// What a message is known by while the run around it changes: not its content, but its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// Who sends it.
    pub from: u16,
    /// Its kind.
    pub kind: Kind,
    /// The view it belongs to.
    #[serde(default)]
    pub view: Option<u64>,
    /// The first and the last slot that it is about.
    #[serde(default)]
    pub slots: Option<(u64, u64)>,
    /// Which of those that have all of this in common, from 0 on, in the order in which they are sent.
    #[serde(default)]
    pub nth: u32,
}

impl Transcript {
    /// Drops operations and messages that no step speaks of any more.
    #[must_use]
    pub fn tidied(&self) -> Self {
        let mut tidy = Self::default();
        let (mut operations, mut said) = (vec![None; self.operations.len()], vec![None; self.said.len()]);
        for step in &self.steps {
            let mut step = step.clone();
            match &mut step.what {
                Happening::Request { operation, .. } => {
                    *operation = place(&mut operations, &self.operations, &mut tidy.operations, *operation);
                }
                Happening::Said { message, .. } => *message = place(&mut said, &self.said, &mut tidy.said, *message),
                Happening::Deliver { .. } | Happening::Fault(_) => {}
            }
            tidy.steps.push(step);
        }
        tidy
    }

    /// Checks that every place that a step speaks of is there, and that bytes are bytes.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn validate(&self) -> Result<(), String> {
        for (at, step) in self.steps.iter().enumerate() {
            let (place, len) = match step.what {
                Happening::Request { operation, .. } => (operation, self.operations.len()),
                Happening::Said { message, .. } => (message, self.said.len()),
                Happening::Deliver { .. } | Happening::Fault(_) => continue,
            };
            if len <= place {
                return Err(format!("transcript.steps: step {at} speaks of number {place} of {len}"));
            }
        }
        let nonces = self.operations.iter().map(|operation| (&operation.nonce, 16));
        let wrong = nonces.clone().find(|(nonce, length)| from_hex(nonce).is_none_or(|bytes| bytes.len() != *length));
        if let Some((nonce, _)) = wrong {
            return Err(format!("transcript.operations: the nonce {nonce} is not 16 bytes in hexadecimal"));
        }
        let texts = self.operations.iter().map(|operation| &operation.op).chain(&self.said);
        match texts.clone().find(|text| from_hex(text).is_none()) {
            Some(text) => Err(format!("transcript: {text} is not hexadecimal")),
            None => Ok(()),
        }
    }
}

/// Where something is in the new list, into which it is put if it is not there yet.
fn place<T: Clone>(places: &mut [Option<usize>], old: &[T], new: &mut Vec<T>, at: usize) -> usize {
    *places[at].get_or_insert_with(|| {
        new.push(old[at].clone());
        new.len() - 1
    })
}

/// Bytes as text.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

/// The bytes of a text.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(operation: usize) -> Step {
        Step { at_ns: 1, what: Happening::Request { to: 0, operation } }
    }

    fn operation(client: u32) -> Operation {
        let nonce = to_hex(&[0; 16]);
        Operation { client, submitted_ns: 0, expires_ns: 1, nonce, op: "00ff".to_owned() }
    }

    #[test]
    fn what_no_step_speaks_of_is_dropped() {
        let operations = vec![operation(0), operation(1), operation(2)];
        let steps = vec![request(2), request(1), request(2)];
        let said = vec!["00".to_owned()];
        let tidy = Transcript { operations, said, steps }.tidied();
        assert_eq!(tidy.operations, [operation(2), operation(1)]);
        assert_eq!(tidy.steps, [request(0), request(1), request(0)]);
        assert!(tidy.said.is_empty());
        assert_eq!(tidy.tidied(), tidy);
    }

    #[test]
    fn places_and_bytes_that_are_not_there_are_refused() {
        let good = Transcript { operations: vec![operation(0)], said: vec![], steps: vec![request(0)] };
        assert_eq!(good.validate(), Ok(()));
        let beyond = Transcript { steps: vec![request(1)], ..good.clone() };
        assert_eq!(beyond.validate(), Err("transcript.steps: step 0 speaks of number 1 of 1".to_owned()));
        let said = vec!["0g".to_owned()];
        assert_eq!(Transcript { said, ..good }.validate(), Err("transcript: 0g is not hexadecimal".to_owned()));
    }

    #[test]
    fn bytes_survive_as_text() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        assert_eq!((from_hex("abc"), from_hex("0x"), from_hex("")), (None, None, Some(vec![])));
    }
}
