//! What Byzantine replicas do. Each owns its own key and nothing else.

use super::rule::Kind;
use serde::{Deserialize, Serialize};

/// A Byzantine replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Byzantine {
    /// Which.
    pub replica: u16,
    /// What it does.
    pub behaviour: Behaviour,
}

/// What a Byzantine replica does. Unless said otherwise it follows the protocol in everything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Behaviour {
    /// It says nothing, ever.
    Silent,
    /// It follows the protocol, then stops for good.
    CrashStop {
        /// When.
        at_us: u64,
    },
    /// As primary it proposes two batches for a slot, one to each half of the others, and votes for both.
    EquivocatingPrimary {
        /// How many of its slots.
        per_mille: u32,
        /// Who gets the first batch; a new random half for each slot when empty.
        #[serde(default)]
        half: Vec<u16>,
    },
    /// It votes in both phases for every digest it hears of, without holding anything.
    DoubleVoter,
    /// Two complete replicas run with its key, each connected to some of the others.
    Twin {
        /// Who is connected to the first until the first change; random when empty.
        #[serde(default)]
        first: Vec<u16>,
        /// How often the others are divided anew; never when 0.
        #[serde(default)]
        change_every_us: u64,
        /// Who is connected to the first then, one list after another and from the first again; random when empty.
        #[serde(default)]
        turns: Vec<Vec<u16>>,
        /// How often one of the others is connected to both.
        #[serde(default)]
        both_per_mille: u32,
        /// Who is connected to each of the two in messages of a view, view by view from 0 on; those of later views,
        /// and of none, both hear and both say to all. Replaces all of the above when not empty.
        #[serde(default)]
        by_view: Vec<[Vec<u16>; 2]>,
    },
    /// What it sends leaves late.
    Delayer {
        /// Of these kinds; of all when empty.
        #[serde(default)]
        kinds: Vec<Kind>,
        /// By how much.
        delay_us: u64,
        /// Up to this much more, at random.
        #[serde(default)]
        jitter_us: u64,
    },
    /// Some of what it sends says one view or slot more or less, or another digest; differently to each receiver.
    Mutator {
        /// How many of its messages.
        per_mille: u32,
        /// How many at the most; no limit when 0.
        #[serde(default)]
        limit: u32,
        /// Of these kinds; of all it signs when empty.
        #[serde(default)]
        kinds: Vec<Kind>,
    },
    /// What it says in some phases says one view or slot more or less, or another digest; or it says nothing, or what
    /// it said before.
    SmallScope {
        /// In which, and to whom.
        mutations: Vec<Mutation>,
    },
    /// As primary it proposes as rarely as it can.
    SlowPrimary {
        /// How long after one proposal the next one leaves at the earliest.
        pause_us: u64,
    },
    /// It keeps messages from some replicas.
    Withholder {
        /// Of these kinds; of all when empty.
        #[serde(default)]
        kinds: Vec<Kind>,
        /// From these; from all when empty.
        #[serde(default)]
        from: Vec<u16>,
    },
    /// It takes no notice of what some authors make and of what some clients ask for, and never proposes it.
    Censor {
        /// Which authors.
        #[serde(default)]
        authors: Vec<u16>,
        /// Which clients.
        #[serde(default)]
        clients: Vec<u32>,
    },
    /// Its proposals claim another time.
    TimeLiar {
        /// By how much; the same moment for ever when absent.
        #[serde(default)]
        offset_us: Option<i64>,
        /// It shows batches whose time is right, and votes for those with the other one. Whoever asks gets these.
        #[serde(default)]
        hidden: bool,
    },
    /// As the primary of a new view it sends a NEW-VIEW that is wrong.
    NewViewLiar {
        /// How.
        lie: NewViewLie,
    },
    /// Its VIEW-CHANGE is wrong.
    ViewChangeLiar {
        /// How.
        lie: ViewChangeLie,
        /// What it invents is always about NULL, the one batch that everybody holds, and not half of the time.
        #[serde(default)]
        null: bool,
    },
    /// Its CHECKPOINTs and proofs of stable checkpoints are wrong.
    CheckpointLiar {
        /// How.
        lie: CheckpointLie,
    },
    /// Whoever asks it for a state gets a wrong one.
    TransferLiar {
        /// How.
        lie: TransferLie,
    },
    /// It sends VIEW-CHANGEs and NEW-VIEWs for view after view, up to the largest there is.
    ViewSpammer {
        /// How often.
        period_us: u64,
    },
    /// It sends many messages, valid and useless.
    Flooder {
        /// How many in a second, to each receiver.
        per_second: u32,
        /// To whom; to all others when empty.
        #[serde(default)]
        to: Vec<u16>,
        /// Of these kinds (votes, vertices, STATUS and FETCH are known); of all of these when empty.
        #[serde(default)]
        kinds: Vec<Kind>,
        /// How many of its votes have a wrong signature.
        #[serde(default)]
        forged_per_mille: u32,
    },
    /// It sends again what it received, to anyone and at any time, and from other senders too: as it was, and as if it
    /// had been said in another view, about another slot, in the other phase, or (votes and CHECKPOINTs) in this chain
    /// and epoch and not in others that have the same keys.
    Replayer {
        /// How many of the messages it receives.
        per_mille: u32,
        /// How much later at the most.
        delay_us: u64,
        /// How many of them it remembers, and says at any later time to anyone, those who said them included; none
        /// when 0.
        #[serde(default)]
        memory: u32,
        /// Where the words are from that it says elsewhere; any of these places when empty.
        #[serde(default)]
        moved: Vec<Origin>,
    },
    /// It signs its votes many times over, with different bytes where the scheme has them, and other statements'
    /// signatures and signers that do not exist.
    Forger {
        /// How many forged messages for each that it receives, in thousandths.
        per_mille: u32,
    },
    /// It says in the names of others what only they may say, and proposes without being the primary.
    Impostor {
        /// How many messages for each that it receives.
        per_mille: u32,
    },
    /// As author it makes two vertices of one height, hides some, names parents that do not exist, and says what is not
    /// valid: a height, a caller's signature, a time of expiry.
    DagLiar {
        /// How many of its vertices.
        per_mille: u32,
    },
    /// It makes vertices of evidence that proves nothing: forged, misread, repeated, of another chain, or of two
    /// views.
    FalseAccuser {
        /// How often.
        period_us: u64,
    },
    /// It makes vertices of evidence that has counted: its own fault in ever other proofs, and what others are
    /// convicted of, as it was and with its two statements exchanged.
    TrueAccuser {
        /// How often.
        period_us: u64,
    },
    /// It runs with an empty memory and disk after each of these moments: an honest program with a lost disk.
    Amnesiac {
        /// When it loses everything.
        at_us: Vec<u64>,
    },
    /// An adversary that a program of yours has given to its worlds; the command line has none.
    Own {
        /// Its name there.
        name: String,
    },
    /// It says exactly this, and otherwise listens.
    Script {
        /// What it says.
        steps: Vec<ScriptStep>,
        /// The batches that it speaks of.
        #[serde(default)]
        batches: Vec<ScriptBatch>,
        /// Also follow the protocol.
        #[serde(default)]
        honest: bool,
    },
}

/// How a NEW-VIEW is wrong. Those up to `other-view` can be proved from the primary's own signed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewViewLie {
    /// A slot that is claimed is left out of `O`.
    OmitSlot,
    /// A slot that nobody claims is in `O`.
    ExtraSlot,
    /// `O` has a digest that nobody claims.
    OtherDigest,
    /// A claimed slot is NULL in `O`.
    Nullify,
    /// `O` has what is claimed of a slot in the lowest view, and not in the highest.
    LowestView,
    /// `h*` is higher than any.
    WrongStable,
    /// `h*` is lower than the highest, and the slots between them, which nobody claims, are NULL in `O`.
    LowStable,
    /// A VIEW-CHANGE too few, and one of the others twice.
    DuplicateSigner,
    /// One of the VIEW-CHANGEs is for another view.
    OtherView,
    /// The primary's own VIEW-CHANGE claims a checkpoint, or that a slot was prepared, and there is no proof of it. All
    /// else follows from that.
    Unproven,
    /// A certificate is missing.
    NoCertificate,
    /// A certificate lacks a vote.
    ThinCertificate,
    /// One of the votes in a certificate is of another view.
    MixedCertificate,
    /// One of the VIEW-CHANGEs is of a replica that does not exist.
    NonMember,
    /// One of the VIEW-CHANGEs was signed for another chain.
    OtherChain,
    /// Not being the primary, it sends the primary's NEW-VIEW in its own name, and never passes the primary's on.
    Usurp,
    /// Two different NEW-VIEWs, one to each half.
    Two,
    /// It is never sent.
    Withhold,
}

/// Where words are from that a replayer says in another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The view before.
    View,
    /// The slot before.
    Slot,
    /// The other phase.
    Phase,
    /// Another chain.
    Chain,
    /// Another epoch.
    Epoch,
}

/// How a VIEW-CHANGE is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViewChangeLie {
    /// It claims to be prepared for something, without a certificate.
    Invent,
    /// The same, with a certificate that lacks votes.
    InventThin,
    /// The same, with its own vote as often as a certificate needs votes.
    InventRepeated,
    /// The same, with a certificate of votes that it made in the names of others.
    InventForged,
    /// It claims nothing.
    Forget,
    /// It leaves out one of the slots that it was prepared for, and voted for.
    OmitSlot,
    /// It claims what was prepared in the lowest view that it knows a certificate of.
    BackDate,
    /// Two different bodies, one to each half.
    Two,
    /// An entry lies outside the window.
    OutOfWindow,
    /// A claim is of a view that is not below the new one.
    FutureView,
    /// Its stable checkpoint is older than the one it has.
    OldStable,
    /// Its stable checkpoint is newer than any.
    FutureStable,
}

/// One thing that a scripted replica says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptStep {
    /// When.
    pub at_us: u64,
    /// To whom; to all others when empty.
    #[serde(default)]
    pub to: Vec<u16>,
    /// What.
    pub say: ScriptAction,
}

/// A batch that a script speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptBatch {
    /// Its name in the script.
    pub name: String,
    /// The vertices in it, by the order in which the replica came to hold them, from 0 on.
    #[serde(default)]
    pub vertices: Vec<u32>,
    /// So many vertices more, which nobody made.
    #[serde(default)]
    pub invented: u32,
    /// How far its time is ahead of the replica's clock when it is first used.
    #[serde(default)]
    pub ts_offset_us: i64,
}

/// What a scripted replica says. `batch` is a name of a batch, or `null` for NULL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScriptAction {
    /// A PRE-PREPARE.
    Propose {
        /// The view.
        view: u64,
        /// The slot.
        slot: u64,
        /// What.
        batch: String,
    },
    /// A PREPARE.
    Prepare {
        /// The view.
        view: u64,
        /// The slot.
        slot: u64,
        /// For what.
        batch: String,
        /// With which of its hands: the same statement, and other bytes of the signature where the scheme has them.
        #[serde(default)]
        hand: u64,
    },
    /// A COMMIT.
    Commit {
        /// The view.
        view: u64,
        /// The slot.
        slot: u64,
        /// For what.
        batch: String,
        /// With which of its hands: the same statement, and other bytes of the signature where the scheme has them.
        #[serde(default)]
        hand: u64,
    },
    /// A CHECKPOINT with a digest that is nobody's.
    Checkpoint {
        /// The slot.
        slot: u64,
    },
    /// A VIEW-CHANGE with these claims, each (slot, view, batch), that nothing proves.
    ViewChange {
        /// The view.
        view: u64,
        /// The claims to be prepared.
        #[serde(default)]
        prepared: Vec<(u64, u64, String)>,
        /// The votes.
        #[serde(default)]
        voted: Vec<(u64, u64, String)>,
    },
    /// A vertex that the replica holds.
    Vertex {
        /// Which, by the order in which it came to hold them.
        vertex: u32,
    },
    /// A new vertex of its own. From now on it holds that too. Addressed to the replica itself, it is kept back.
    Author {
        /// With the requests of these vertices.
        requests_of: Vec<u32>,
        /// After this one of its own; the first of all when absent.
        #[serde(default)]
        after: Option<u32>,
        /// With references to these vertices of others.
        #[serde(default)]
        refs: Vec<u32>,
        /// And with one to a vertex of this author that nobody made.
        #[serde(default)]
        invented_ref: Option<u16>,
        /// The height; the right one when absent.
        #[serde(default)]
        height: Option<u64>,
        /// What else is wrong with it.
        #[serde(default)]
        flaw: Option<VertexFlaw>,
    },
}

/// What makes a vertex invalid by its own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VertexFlaw {
    /// The signature of a client is wrong.
    ClientSignature,
    /// It claims to be another replica's.
    Author,
    /// It is larger than a vertex may be.
    Size,
}

/// Something said a little wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// What kind of message.
    pub kind: Kind,
    /// Of which view; of any when absent.
    #[serde(default)]
    pub view: Option<u64>,
    /// About which slot; about any, or none, when absent.
    #[serde(default)]
    pub slot: Option<u64>,
    /// To whom; to all others when empty.
    #[serde(default)]
    pub to: Vec<u16>,
    /// What it says instead.
    #[serde(default)]
    pub instead: Instead,
}

/// What is said instead of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instead {
    /// The same with one view or slot more or less, or another digest.
    #[default]
    Changed,
    /// Nothing.
    Nothing,
    /// The last other message of the same kind; the same one where there was none.
    Earlier,
}

/// How a CHECKPOINT is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointLie {
    /// A state that is nobody's.
    OtherState,
    /// Two states, one to each half.
    Two,
    /// The state of one checkpoint is said to be that of the next.
    Early,
    /// A proof that one vote is all it takes.
    ThinProof,
    /// A proof of its own vote, as often as it takes.
    RepeatedProof,
    /// It is never said.
    Withhold,
}

/// How a state that is served is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferLie {
    /// One bit of each chunk is another.
    FlippedChunk,
    /// Chunks are cut off.
    ShortChunk,
    /// The list of chunks names others.
    OtherManifest,
    /// The list of chunks is longer than it should be.
    LongManifest,
    /// It never answers.
    Withhold,
}
