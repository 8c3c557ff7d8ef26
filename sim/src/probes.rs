//! Rare situations, by name. A campaign counts them, and says which it never reached.

use std::collections::BTreeMap;

macro_rules! probes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A rare situation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Probe { $($(#[$doc])* $name,)* }

        /// All of them.
        pub const PROBES: &[(Probe, &str)] = &[$((Probe::$name, $text),)*];
    };
}

probes! {
    /// A replica leaves its view.
    ViewChange = "view change";
    /// A replica leaves its view for one that is not the next.
    SkippedView = "view skipped";
    /// A replica is to leave the view it is about to enter.
    SecondTarget = "second target before a new view";
    /// A NEW-VIEW proposes slots again.
    Reproposal = "new view with proposals";
    /// A NEW-VIEW proposes NULL.
    NullProposal = "new view with NULL";
    /// A NEW-VIEW raises the low watermark of the replica that installs it.
    NewViewMovesWatermark = "new view ahead of the low watermark";
    /// A replica installs a view while it executes nothing because of a checkpoint.
    ViewChangeAtCheckpoint = "view change during a checkpoint";
    /// The low watermark moves past what a replica executed.
    StableAhead = "stable checkpoint ahead of execution";
    /// A state transfer is completed.
    Transfer = "state transfer";
    /// A slot is decided in another view than it was proposed in first.
    DecidedLater = "slot decided in a later view";
    /// A NULL slot is executed.
    NullExecuted = "NULL executed";
    /// A replica restarts while it is changing views.
    RestartInViewChange = "restart during a view change";
    /// A replica restarts and has slots to execute again.
    Reexecution = "slots executed again after a restart";
    /// All replicas are down at once.
    AllDown = "all replicas down";
    /// The end of a log was torn off.
    TornLog = "torn log cut off";
    /// A disk that failed ended a replica.
    DiskFailure = "replica ended by its disk";
    /// A replica refuses to come back.
    Refused = "restart refused";
    /// Evidence is stored.
    Evidence = "evidence stored";
    /// Evidence is finalized.
    Accusation = "evidence finalized";
    /// A replica is banned.
    Ban = "replica banned";
    /// A replica leaves a view because its primary is banned.
    BannedPrimary = "view of a banned primary left";
    /// A slot lists a vertex of a banned author.
    BannedVertex = "vertex of a banned author";
    /// A proposal of one batch is accepted while another one for the slot exists.
    TwoProposals = "two batches proposed for a slot";
    /// A listed request does not execute because its time is over.
    Expired = "request expired in a slot";
    /// A slot executes fewer requests than its vertices carry.
    Moot = "listed requests that do not execute";
    /// A window is used up.
    WindowFull = "window used up";
    /// A prepared slot is proposed again under another replica.
    PreparedCarried = "prepared slot carried into a new view";
    /// Execution stood at the high watermark for longer than the time-out.
    HaltedAtHigh = "halted at the high watermark";
    /// A proposal came when half of the time was over after which its primary would have been suspected.
    SlowProposal = "slow proposal";
    /// The own state contradicts a certified one.
    Diverged = "own state contradicts the certified one";
}

/// How often each was reached.
#[derive(Debug)]
pub struct Probes([u64; PROBES.len()]);

impl Default for Probes {
    fn default() -> Self {
        Self([0; PROBES.len()])
    }
}

impl Probes {
    /// It was reached.
    pub fn hit(&mut self, probe: Probe) {
        self.0[probe as usize] += 1;
    }

    /// It was reached, if something holds.
    pub fn hit_if(&mut self, holds: bool, probe: Probe) {
        self.0[probe as usize] += u64::from(holds);
    }

    /// How often it was reached.
    #[must_use]
    pub fn count(&self, name: &str) -> Option<u64> {
        let place = PROBES.iter().position(|(_, text)| *text == name)?;
        Some(self.0[place])
    }

    /// Those that were reached, by name.
    #[must_use]
    pub fn reached(&self) -> BTreeMap<String, u64> {
        let counts = PROBES.iter().zip(self.0).filter(|(_, count)| *count > 0);
        counts.map(|((_, text), count)| ((*text).to_owned(), count)).collect()
    }
}
