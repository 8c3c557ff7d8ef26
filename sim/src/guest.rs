//! What a program of its own gives to a world: an application, operations, adversaries. And the application as a
//! machine hosts it.

use crate::adversary::Adversary;
use crate::app::Tally;
use crate::rng::Rng;
use cretoai_core::application::{Application, RestoreError};
use cretoai_core::bytes::Bytes;
use cretoai_core::outbox::Execution;
use std::fmt;
use std::sync::Arc;

/// Makes an application in its first state.
pub type MakeApplication = Arc<dyn Fn() -> Box<dyn Application> + Send + Sync>;

/// Makes the bytes of an operation: of a client, by its number, with dice.
pub type MakeOperation = Arc<dyn Fn(&mut Rng, u32, u64) -> Vec<u8> + Send + Sync>;

/// What an operation must give when all operations are executed one after another.
pub type Model = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

/// Makes an adversary.
pub type MakeAdversary = Arc<dyn Fn() -> Box<dyn Adversary> + Send + Sync>;

/// What a world hosts.
#[derive(Clone)]
pub struct Guests {
    /// The application.
    pub application: MakeApplication,
    /// The operations of clients; numbers in as many bytes as the plan says when absent.
    pub operation: Option<MakeOperation>,
    /// The model that results are compared with; only among themselves when absent.
    pub model: Option<Arc<dyn Fn() -> Model + Send + Sync>>,
    /// Adversaries, by name.
    pub adversaries: Vec<(String, MakeAdversary)>,
    /// Whether the application itself is under test.
    pub is_examined: bool,
}

impl Default for Guests {
    fn default() -> Self {
        Self {
            application: Arc::new(|| Box::<Tally>::default()),
            operation: None,
            model: None,
            adversaries: Vec::new(),
            is_examined: false,
        }
    }
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an application and {} adversaries", self.adversaries.len())
    }
}

/// The application of a machine.
pub struct Guest {
    make: MakeApplication,
    application: Box<dyn Application>,
    /// What an examined application is compared with: a copy that was restored from its last snapshot.
    copy: Option<Box<dyn Application>>,
    is_examined: bool,
    complaint: Option<String>,
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.application.fmt(f)
    }
}

fn slices(chunks: &[Bytes]) -> Vec<&[u8]> {
    chunks.iter().map(|chunk| chunk.0.as_slice()).collect()
}

impl Guest {
    /// In its first state.
    #[must_use]
    pub fn new(guests: &Guests) -> Self {
        let make = Arc::clone(&guests.application);
        Self { application: make(), make, copy: None, is_examined: guests.is_examined, complaint: None }
    }

    /// Loses everything that is not in snapshots.
    pub fn reset(&mut self) {
        self.application = (self.make)();
        self.copy = None;
    }

    /// What was found wrong with it.
    #[must_use]
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    fn complain(&mut self, sentence: impl FnOnce() -> String) {
        self.complaint.get_or_insert_with(sentence);
    }

    /// Flips bits, as a broken machine might: one in each word of its state, so that the next result shows it.
    pub fn flip(&mut self) {
        let mut chunks = self.application.snapshot();
        chunks.iter_mut().flat_map(|chunk| chunk.0.iter_mut().step_by(8)).for_each(|byte| *byte ^= 1);
        if self.application.restore(&slices(&chunks)).is_err() {
            self.reset();
        }
        self.copy = None;
    }

    /// Executes a slot.
    pub fn execute(&mut self, execution: &Execution) -> Vec<Bytes> {
        let results = self.application.execute(execution);
        if !self.is_examined {
            return results;
        }
        let (due, found) = (execution.requests.len(), results.len());
        if due != found {
            self.complain(|| format!("{due} requests of {} have {found} results", execution.slot));
            return vec![Bytes::default(); due];
        }
        if let Some(copy) = &mut self.copy {
            let others = copy.execute(execution);
            let at = results.iter().zip(&others).position(|(one, other)| one != other);
            if let Some(at) = at {
                let slot = execution.slot;
                self.complain(|| {
                    format!("request {at} of {slot} has another result after a restore than without: the snapshot lacks something")
                });
            }
        }
        results
    }

    /// The whole state.
    pub fn snapshot(&mut self) -> Vec<Bytes> {
        let chunks = self.application.snapshot();
        if self.is_examined {
            self.examine(&chunks);
        }
        chunks
    }

    /// Looks whether a snapshot is the same as that of the copy, and whether a new copy can be made of it.
    fn examine(&mut self, chunks: &[Bytes]) {
        if self.copy.as_ref().is_some_and(|copy| copy.snapshot() != chunks) {
            self.complain(|| "the state after a restore becomes another one than without".to_owned());
        }
        let mut copy = (self.make)();
        if let Err(error) = copy.restore(&slices(chunks)) {
            return self.complain(|| format!("it refuses its own snapshot: {error}"));
        }
        if copy.snapshot() != chunks {
            self.complain(|| {
                "a state that was restored has another snapshot than the one it was restored from".to_owned()
            });
        }
        self.copy = Some(copy);
    }

    /// Replaces the state by that of a snapshot.
    ///
    /// # Errors
    /// [`RestoreError`] if the application refuses it.
    pub fn restore(&mut self, chunks: &[&[u8]]) -> Result<(), RestoreError> {
        self.copy = None;
        self.application.restore(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::time::Instant;
    use cretoai_core::types::Slot;

    /// Counts slots, and tells nobody: a number outside its state is in its results.
    #[derive(Debug, Default)]
    struct Forgetful {
        kept: u64,
        lost: u64,
    }

    impl Application for Forgetful {
        fn execute(&mut self, _: &Execution) -> Vec<Bytes> {
            self.kept += 1;
            self.lost += 1;
            vec![]
        }

        fn snapshot(&self) -> Vec<Bytes> {
            vec![Bytes(if self.lost % 3 == 2 { vec![1] } else { vec![2] }), Bytes(self.kept.to_le_bytes().to_vec())]
        }

        fn restore(&mut self, chunks: &[&[u8]]) -> Result<(), RestoreError> {
            let reason = || RestoreError { chunk: 1, reason: "not a number".to_owned() };
            self.kept = u64::from_le_bytes(chunks[1].try_into().map_err(|_| reason())?);
            Ok(())
        }
    }

    #[test]
    fn what_a_snapshot_lacks_is_found() {
        let application: MakeApplication = Arc::new(|| Box::<Forgetful>::default());
        let examined = Guests { application, is_examined: true, ..Guests::default() };
        let mut guest = Guest::new(&examined);
        let slot = |slot| Execution { slot: Slot(slot), time: Instant(1), requests: vec![], listed: vec![] };
        guest.snapshot();
        assert_eq!(guest.complaint(), None);
        guest.execute(&slot(1));
        guest.execute(&slot(2));
        guest.snapshot();
        assert!(guest.complaint().is_some_and(|complaint| complaint.contains("another snapshot")), "{guest:?}");
    }

    #[test]
    fn a_flip_changes_the_state() {
        let mut guest = Guest::new(&Guests::default());
        let before = guest.snapshot();
        guest.flip();
        assert_ne!(guest.snapshot(), before);
        guest.reset();
        assert_eq!(guest.snapshot(), before);
    }
}
