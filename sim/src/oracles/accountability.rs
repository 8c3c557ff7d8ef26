//! O11, O15: evidence is against those who are faulty, and where agreement breaks it is against more of them than may
//! be (`docs/protocol.md` O11, O15).

use super::Finding;
use crate::audit::{Auditor, Offence};
use cretoai_core::certificate::Certificate;
use cretoai_core::committee::ReplicaSet;
use cretoai_core::evidence::{Evidence, forensics};
use cretoai_core::ledger::Standings;
use cretoai_core::message::NewViewMessage;
use cretoai_core::replica::Halt;
use cretoai_core::types::{ReplicaId, View};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Decided slots that are remembered: a power of two, and more than any window.
const REMEMBERED: usize = 1024;

/// What it takes to hold somebody to account.
#[derive(Debug)]
pub(super) struct Accountability {
    auditor: Auditor,
    honest: ReplicaSet,
    n: u16,
    /// By slot, modulo `REMEMBERED`: the certificate with which somebody decided it first.
    decided: Vec<Option<Arc<Certificate>>>,
    new_views: BTreeMap<View, Arc<NewViewMessage>>,
}

/// Two correct replicas decided a slot differently.
#[derive(Debug)]
pub(super) struct Fork {
    /// Who is to blame, in words.
    pub(super) blame: String,
    /// What is wrong with that, if anything is.
    pub(super) finding: Finding,
}

impl Accountability {
    pub(super) fn new(auditor: Auditor, honest: ReplicaSet, n: u16) -> Self {
        Self { auditor, honest, n, decided: vec![None; REMEMBERED], new_views: BTreeMap::new() }
    }

    fn is_honest(&self, id: ReplicaId) -> bool {
        self.honest >> id.0 & 1 == 1
    }

    /// Whether more replicas are faulty in this run than the protocol bears.
    pub(super) fn are_too_many(&self) -> bool {
        let faulty = u32::from(self.n) - self.honest.count_ones();
        self.auditor.bearable() < usize::try_from(faulty).expect("at most 128")
    }

    /// A replica stored evidence. It must be against one that is faulty, and convince others. What it proves.
    pub(super) fn stored(&self, id: ReplicaId, evidence: &Evidence) -> Result<Offence, String> {
        let (accused, (kind, view, at)) = (evidence.accused(), evidence.key());
        if self.is_honest(accused) {
            return Err(format!("{id} accuses {accused}, which is honest, of {kind:?} in {view} at {at}"));
        }
        let wrong = |why: String| format!("{id} accuses {accused} of {kind:?} in {view} at {at}, and {why}");
        let offence = self.auditor.evidence(evidence).map_err(wrong)?.offence;
        let is_same = offence.of == accused && offence.kind == format!("{kind:?}");
        if is_same { Ok(offence) } else { Err(wrong(format!("it convicts {} of {}", offence.of, offence.kind))) }
    }

    /// A replica is the first to keep a vertex with evidence on its disk. It must prove something (D5).
    pub(super) fn kept(&self, id: ReplicaId, evidence: &Evidence) -> Finding {
        let wrong = |why| format!("{id} keeps a vertex with evidence that proves nothing: {why}");
        self.auditor.evidence(evidence).map(|_| ()).map_err(wrong)
    }

    /// What the order proves, as a replica has executed it.
    pub(super) fn standings(&self, id: ReplicaId, standings: &Standings) -> Finding {
        match standings.faulty().find(|accused| self.is_honest(*accused)) {
            Some(accused) => Err(format!("{id} executed evidence against {accused}, which is honest")),
            None => Ok(()),
        }
    }

    /// A replica stopped because too many are proven faulty.
    pub(super) fn halted(&self, id: ReplicaId, halt: Halt) -> Finding {
        let why = || format!("{id} found proof of more than f faults: {halt:?}");
        if matches!(halt, Halt::TooManyFaulty(_)) && self.are_too_many() { Ok(()) } else { Err(why()) }
    }

    /// A view was installed.
    pub(super) fn installed(&mut self, message: &Arc<NewViewMessage>) {
        self.new_views.entry(message.signed.body.view).or_insert_with(|| Arc::clone(message));
        if self.new_views.len() > REMEMBERED {
            self.new_views.pop_first();
        }
    }

    /// A slot was decided. If it was decided differently before: who is to blame.
    pub(super) fn decided(&mut self, certificate: &Arc<Certificate>) -> Option<Fork> {
        let claim = certificate.claim;
        let place = usize::try_from(claim.slot.0 % REMEMBERED as u64).expect("below the length");
        match &self.decided[place] {
            Some(first) if first.claim.slot == claim.slot => {
                (first.claim.digest != claim.digest).then(|| self.blame(first, certificate))
            }
            Some(later) if claim.slot < later.claim.slot => None,
            _ => {
                self.decided[place] = Some(Arc::clone(certificate));
                None
            }
        }
    }

    fn blame(&self, first: &Certificate, second: &Certificate) -> Fork {
        let found = forensics::decided_twice(first, second, self.new_views.values());
        let convicts = |evidence: &Evidence| self.auditor.evidence(evidence).map(|guilt| guilt.offence.of);
        let culprits: Result<Vec<ReplicaId>, String> = found.iter().map(convicts).collect();
        let culprits = culprits.unwrap_or_default();
        let names: Vec<String> = culprits.iter().map(|id| format!("{id}")).collect();
        let names = names.join(", ");
        let finding = match culprits.iter().find(|id| self.is_honest(**id)) {
            Some(id) => Err(format!("two decisions of {} convict {id}, which is honest", first.claim.slot)),
            None if culprits.len() <= self.auditor.bearable() => {
                Err(format!("two decisions of {} convict too few: [{names}]", first.claim.slot))
            }
            None => Ok(()),
        };
        Fork { blame: format!("proven faulty: {names}"), finding }
    }
}
