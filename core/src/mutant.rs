//! Mutants: rules of the protocol, each broken on purpose and one at a time, to see whether a campaign notices.
//!
//! The switch is one question at the place where a rule is kept, `Mutant::VotesTwice.is_on()`. Without the feature
//! `mutants` the answer is the constant `false`, and nothing of this is in the program. With it the answer is what
//! [`switch`] said last on this thread. Nobody runs a replica with a mutant on except `cretoai-sim mutants`.

/// Each mutant with what it does, its name, the rule of `docs/protocol.md` that it breaks, and, if nobody can tell it
/// from the protocol, why.
macro_rules! mutants {
    ($(#[doc = $does:literal] $variant:ident = $name:literal, $rule:literal $(, equivalent: $why:literal)?;)*) => {
        /// A rule that is broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[cfg_attr(not(feature = "mutants"), expect(unreachable_pub, reason = "the switch is for others to turn"))]
        pub enum Mutant {
            $(#[doc = $does] $variant),*
        }

        #[cfg(feature = "mutants")]
        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The one of this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
            }

            /// What it is called.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What it does, in a sentence.
            #[must_use]
            pub fn does(self) -> &'static str {
                let sentence = match self { $(Self::$variant => $does),* };
                sentence.trim_start()
            }

            /// The rule of `docs/protocol.md` that it breaks.
            #[must_use]
            pub fn rule(self) -> &'static str {
                match self { $(Self::$variant => $rule),* }
            }

            /// Why nobody can tell it from the protocol, if so.
            #[must_use]
            pub fn equivalent(self) -> Option<&'static str> {
                match self { $(Self::$variant => [$($why,)? ""].first().copied().filter(|why| !why.is_empty())),* }
            }
        }
    };
}

mutants! {
    // Quorums and certificates.
    /// Every quorum is 2f + 1, also where n is not 3f + 1.
    TwoFPlusOne = "two-f-plus-one", "A2";
    /// A PREPARE too few makes a slot prepared.
    PreparedByTooFew = "prepared-by-too-few", "N8";
    /// A COMMIT too few decides a slot.
    DecidedByTooFew = "decided-by-too-few", "N11";
    /// A CHECKPOINT too few makes a checkpoint stable.
    StableByTooFew = "stable-by-too-few", "C2";
    /// A VIEW-CHANGE too few is enough for a NEW-VIEW.
    NewViewByTooFew = "new-view-by-too-few", "V11";
    /// Nobody counts the votes in a certificate that is received.
    ThinCertificate = "thin-certificate", "M11";
    /// The votes in a certificate may be of any view.
    MixedCertificate = "mixed-certificate", "M11";
    /// Votes in a certificate count as often as they are in it.
    RepeatedSigner = "repeated-signer", "M11";
    /// The signatures in certificates of votes are not checked.
    CertificateUnsigned = "certificate-unsigned", "M13";
    /// CHECKPOINTs of different states make one stable.
    MixedStates = "mixed-states", "C2";
    /// Nobody counts the votes in the proof of a stable checkpoint that is received.
    ThinCheckpoint = "thin-checkpoint", "M11";

    // Verification.
    /// The signatures of PREPARE and COMMIT are not checked.
    VoteUnsigned = "vote-unsigned", "M13";
    /// The signatures of CHECKPOINTs are not checked.
    CheckpointUnsigned = "checkpoint-unsigned", "M13";
    /// The signatures of VIEW-CHANGEs are not checked.
    ViewChangeUnsigned = "view-change-unsigned", "M13";
    /// The signatures of NEW-VIEWs are not checked.
    NewViewUnsigned = "new-view-unsigned", "M13";
    /// The signatures of STATUS are not checked.
    StatusUnsigned = "status-unsigned", "M13",
        equivalent: "a STATUS counts only over the link of its signer, and links authenticate their two ends (A4, T13)";
    /// The signatures of vertices are not checked.
    VertexUnsigned = "vertex-unsigned", "D3";
    /// What is signed does not say for which view it is.
    ViewUnsigned = "view-unsigned", "M3";
    /// What is signed of a vote or a CHECKPOINT does not say for which slot it is.
    SlotUnsigned = "slot-unsigned", "M3";
    /// What is signed does not tell a PREPARE from a COMMIT.
    TagUnsigned = "tag-unsigned", "M3";
    /// What is signed does not say for which chain it is.
    ChainUnsigned = "chain-unsigned", "M3";
    /// What is signed does not say for which epoch it is.
    EpochUnsigned = "epoch-unsigned", "M3";
    /// The signatures of callers on their requests are not checked.
    CallerUnsigned = "caller-unsigned", "D2";
    /// A vertex may be signed by another than its author.
    VertexOfAnother = "vertex-of-another", "D3";
    /// A vertex may have any height.
    AnyHeight = "any-height", "D4";
    /// The batches in a PRE-PREPARE need not be those that its vote names.
    OtherBatches = "other-batches", "M9";
    /// A batch may list a vertex twice.
    RepeatedVertex = "repeated-vertex", "M10";

    // The normal case.
    /// A proposal may come from anybody.
    AnyoneProposes = "anyone-proposes", "N5";
    /// A second proposal for a slot is voted for, too.
    VotesTwice = "votes-twice", "M8";
    /// A proposal is voted for before its bodies are held.
    VotesBlind = "votes-blind", "N5";
    /// Slots above the high watermark are proposed and voted for.
    NoHighWatermark = "no-high-watermark", "N3";
    /// A replica's second vote for a slot counts, and takes the place of the first.
    SecondVoteCounts = "second-vote-counts", "M4";
    /// Votes of other views count in this one.
    VotesOfAnyView = "votes-of-any-view", "N2";
    /// A slot that an earlier view decided is not learned from its certificate.
    OldCertificates = "old-certificates", "N11";
    /// Proposals and votes of the view that a replica is about to enter are dropped.
    EarlyDropped = "early-dropped", "N9";
    /// The primary proposes from the slot after its checkpoint on, whatever the NEW-VIEW has proposed.
    ProposesAgain = "proposes-again", "N4";
    /// Whatever time a batch has, it is timely.
    AlwaysTimely = "always-timely", "D16";
    /// What a NEW-VIEW proposes has to be timely again.
    TimelyAgain = "timely-again", "D16";

    // Leaving a view.
    /// A replica that left a view goes on voting in it.
    VotesAfterLeaving = "votes-after-leaving", "V1";
    /// A VIEW-CHANGE claims nothing to be prepared.
    PreparedHidden = "prepared-hidden", "V3";
    /// A VIEW-CHANGE claims only what was prepared in the last view.
    LastViewOnly = "last-view-only", "V3";
    /// A VIEW-CHANGE has the votes only for what was prepared.
    VotesHidden = "votes-hidden", "V3";
    /// A VIEW-CHANGE that is sent again says what is true by then.
    NotFrozen = "not-frozen", "V5";
    /// A VIEW-CHANGE is sent once.
    SentOnce = "sent-once", "V6";
    /// A single VIEW-CHANGE for a higher view is joined.
    JoinsAnybody = "joins-anybody", "V8";
    /// VIEW-CHANGEs of others are never joined.
    NeverJoins = "never-joins", "V8";
    /// Of the views that a weak quorum wants the highest is joined.
    JoinsHighest = "joins-highest", "V8";
    /// A VIEW-CHANGE may claim what no correct replica claims.
    IllFormed = "ill-formed", "V4";
    /// A view may be as far away as numbers go.
    NoViewBound = "no-view-bound", "V23",
        equivalent: "of the views that f + 1 replicas want the lowest is joined (V8), so a liar's is never the one";

    // The new view.
    /// Of several claims for a slot that of the lowest view is proposed.
    LowestView = "lowest-view", "V12";
    /// What is claimed first is proposed, whatever others claim.
    FirstClaim = "first-claim", "V12";
    /// Slots that nobody claims are left out of the NEW-VIEW, and not filled with NULL.
    NoNull = "no-null", "V12";
    /// What a NEW-VIEW proposes is not computed again.
    NewViewTrusted = "new-view-trusted", "V15";
    /// A VIEW-CHANGE counts as often as a NEW-VIEW names it.
    RepeatedViewChange = "repeated-view-change", "V11";
    /// A NEW-VIEW may follow from the VIEW-CHANGE of a stranger.
    StrangersCount = "strangers-count", "V15";
    /// A NEW-VIEW needs no certificates for the claims that it follows.
    ClaimsUnproven = "claims-unproven", "V15";
    /// A NEW-VIEW needs no proof of its stable checkpoint, which may be higher than any that is claimed.
    StableUnproven = "stable-unproven", "V15";
    /// A NEW-VIEW may come from anybody.
    AnyonesNewView = "anyones-new-view", "V14";
    /// A NEW-VIEW counts for whoever has left its view for a later one.
    GoesBack = "goes-back", "V14";

    // Checkpoints, watermarks, garbage.
    /// A replica does not compare its own state with the certified one.
    OwnStateTrusted = "own-state-trusted", "C5";
    /// A replica signs states that it took over from others.
    SignsForeignState = "signs-foreign-state", "C1",
        equivalent: "a state is taken over only if a quorum has certified it (C12), so what is signed is right";
    /// Bodies are dropped as soon as a checkpoint is stable.
    BodiesDropped = "bodies-dropped", "C7";
    /// What the own VIEW-CHANGE claims is dropped when the next checkpoints are stable.
    ClaimedDropped = "claimed-dropped", "C7";
    /// Vertices are never dropped.
    GarbageKept = "garbage-kept", "C7";
    /// An author may have as many vertices open as it likes.
    NoQuota = "no-quota", "D10";

    // Execution.
    /// When a NEW-VIEW proposes slots that were executed, they are executed again.
    SlotExecutesAgain = "slot-executes-again", "N15";
    /// A request that executed executes again.
    ExecutesTwice = "executes-twice", "F6";
    /// A request that has expired executes.
    ExpiredExecutes = "expired-executes", "F6";
    /// A request may expire at any time.
    AnyLifetime = "any-lifetime", "F6";
    /// What executed is forgotten in the second of its expiry, and not behind it.
    ForgottenEarly = "forgotten-early", "F7";
    /// The effective time is what the primary says.
    PrimarysTime = "primarys-time", "F5";
    /// The slot after a checkpoint is executed before the application has fixed its state.
    CheckpointNotAwaited = "checkpoint-not-awaited", "N14";
    /// A parent that is not final yet counts as final.
    ParentsIgnored = "parents-ignored", "F3";
    /// A vertex is final whatever its predecessor.
    AnyPredecessor = "any-predecessor", "F3";
    /// A banned author's vertices are final.
    BannedFinal = "banned-final", "F15";

    // State transfer.
    /// The seen set is not in the snapshot.
    SeenNotKept = "seen-not-kept", "C13";
    /// The seen set is handed over, and the digest covers no more of it than for which seconds there are chunks.
    SeenUncovered = "seen-uncovered", "C13";
    /// The index of finalized vertices is not in the snapshot.
    IndexNotKept = "index-not-kept", "C13";
    /// The effective time is not in the snapshot.
    TimeNotKept = "time-not-kept", "C13";
    /// The standings are not in the snapshot.
    StandingsNotKept = "standings-not-kept", "C13";
    /// The list of chunks is not compared with the certified digest.
    ManifestUnchecked = "manifest-unchecked", "C12";
    /// A chunk is taken for one that was asked for, whatever its hash.
    ChunkUnchecked = "chunk-unchecked", "C12";
    /// A replica that is far behind waits for what nobody holds any more.
    NeverTransfers = "never-transfers", "C9";
    /// The view is what others say that it is.
    ViewLearned = "view-learned", "C17";
    /// After a transfer the verdicts from before still count.
    VerdictsKept = "verdicts-kept", "C16";

    // Durability and recovery.
    /// Messages leave before their records are durable.
    GateOpen = "gate-open", "G1";
    /// Slots are executed and answered before their records are durable.
    TasksUngated = "tasks-ungated", "G3";
    /// PREPAREs are not recorded.
    VoteNotRecorded = "vote-not-recorded", "G4";
    /// Certificates of PREPAREs are not recorded.
    PreparedNotRecorded = "prepared-not-recorded", "G4";
    /// Decisions are not recorded.
    DecisionNotRecorded = "decision-not-recorded", "G4";
    /// VIEW-CHANGEs are not recorded.
    ViewChangeNotRecorded = "view-change-not-recorded", "G4";
    /// NEW-VIEWs are not recorded.
    NewViewNotRecorded = "new-view-not-recorded", "G4";
    /// Stable checkpoints are not recorded.
    StableNotRecorded = "stable-not-recorded", "G4";
    /// A restart forgets which view is installed: the replica comes back in view 0.
    ForgetsView = "forgets-view", "G10";
    /// A restart forgets that the replica left its view.
    ForgetsTarget = "forgets-target", "G8";
    /// A restart forgets PREPAREs.
    ForgetsVotes = "forgets-votes", "G8";
    /// A restart forgets what was prepared.
    ForgetsPrepared = "forgets-prepared", "G8";
    /// A restart forgets the own vertices' heights.
    ForgetsHeight = "forgets-height", "G8";
    /// A restart forgets which slots this view has used.
    ForgetsUsedSlots = "forgets-used-slots", "G15";
    /// Records of what was prepared in views that a replica left are pruned.
    PrunesPrepared = "prunes-prepared", "G14";
    /// Records of votes in views that a replica left are pruned.
    PrunesVotes = "prunes-votes", "G14";

    // Fetching, STATUS, timers.
    /// FETCH is not answered.
    FetchUnanswered = "fetch-unanswered", "C15";
    /// What is missing is asked of one replica, again and again.
    FetchAsksOne = "fetch-asks-one", "D12";
    /// What is missing is asked for once.
    FetchAsksOnce = "fetch-asks-once", "D12";
    /// Predecessors of vertices are not asked for.
    NoPredecessors = "no-predecessors", "D13";
    /// Vertices are not forwarded to the primary.
    NeverForwards = "never-forwards", "D11";
    /// STATUS is not answered.
    StatusUnanswered = "status-unanswered", "T13";
    /// The answer to a STATUS has no NEW-VIEW.
    NewViewNotRepeated = "new-view-not-repeated", "T13";
    /// The answer to a STATUS has no votes.
    VotesNotRepeated = "votes-not-repeated", "T13";
    /// The primary is never suspected.
    NeverSuspects = "never-suspects", "T6";
    /// A view change never gives up.
    NeverGivesUp = "never-gives-up", "T8";
    /// The time for a view change goes on where nobody waits for anything.
    NeverIdle = "never-idle", "T8";
    /// The time-out is never doubled.
    NeverDoubles = "never-doubles", "T3";
    /// The time-out never shrinks again.
    NeverDecays = "never-decays", "T4";
    /// Time goes on while a replica waits for itself.
    NotHeldBack = "not-held-back", "T7";

    // Evidence and standing.
    /// What a VIEW-CHANGE leaves out below its stable checkpoint is held against its sender.
    AccusesBelowStable = "accuses-below-stable", "X2";
    /// Votes of different views contradict each other.
    AccusesAcrossViews = "accuses-across-views", "X2";
    /// Evidence is never put into a vertex.
    NeverAccuses = "never-accuses", "X13";
    /// One fault counts as often as it is proven.
    CountsTwice = "counts-twice", "X14";
    /// A ban begins with the next slot.
    BannedAtOnce = "banned-at-once", "X14";
    /// The votes of a banned replica are dropped.
    BannedUnheard = "banned-unheard", "X14";
    /// A banned primary is not left.
    BannedPrimaryKept = "banned-primary-kept", "V9";
    /// Proof against more replicas than may be faulty stops nobody.
    TooManyIgnored = "too-many-ignored", "X16";
}

impl Mutant {
    /// Whether this rule is broken now. Never, without the feature `mutants`.
    #[cfg(not(feature = "mutants"))]
    #[inline(always)]
    pub(crate) const fn is_on(self) -> bool {
        false
    }

    /// Whether this rule is broken now, on this thread.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn is_on(self) -> bool {
        on::MUTANT.get() == Some(self)
    }
}

#[cfg(feature = "mutants")]
#[allow(clippy::disallowed_types, reason = "all replicas of a cluster share the mutant, as they would share a mistake")]
mod on {
    use super::Mutant;
    use std::cell::Cell;

    // A cluster is simulated by one thread, and neighbouring threads have mutants of their own.
    thread_local! {
        pub(super) static MUTANT: Cell<Option<Mutant>> = const { Cell::new(None) };
    }
}

/// Breaks this rule, or none, on this thread from now on.
#[cfg(feature = "mutants")]
pub fn switch(mutant: Option<Mutant>) {
    on::MUTANT.set(mutant);
}
