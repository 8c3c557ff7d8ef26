//! `verify`: what a bundle of proof proves, to somebody who trusts none of those who made it.

use super::{Ended, Stop};
use crate::audit::Auditor;
use crate::crypto::Keys;
use cretoai_core::bundle::Bundle;
use cretoai_core::certificate::Claim;
use cretoai_core::config::Chain;
use cretoai_core::hash::Digest;
use cretoai_core::types::{ReplicaId, Slot};
use cretoai_core::vote::Phase;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Something in the bundle proves nothing.
const UNPROVEN: u8 = 1;

/// Checks every piece of a bundle, and says what follows.
pub(super) fn run(file: &Path, seed: Option<u64>, out: &mut dyn Write) -> Ended {
    let usage = |why: String| Stop::Usage(format!("{}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| usage(error.to_string()))?;
    let bundle = Bundle::decode(&bytes).map_err(|error| usage(format!("no bundle of proof: {error}")))?;
    let chain = Chain::new(bundle.genesis.clone(), true).map_err(|error| usage(error.to_string()))?;
    let signatures = Keys::verifier_of(&bundle.genesis, seed).map_err(usage)?;
    let auditor = Auditor::new(Arc::new(chain), signatures);
    let genesis = &bundle.genesis;
    let n = genesis.keys.len();
    writeln!(out, "chain        {}: `{}`, {n} replicas, f = {}", genesis.chain_id(), genesis.name, auditor.bearable())?;
    let mut found = Found::default();
    found.evidence(&auditor, &bundle, out)?;
    found.certificates(&auditor, &bundle, out)?;
    let names: Vec<String> = found.faulty.iter().map(|id| format!("{id}")).collect();
    let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    let broken = auditor.bearable() < found.faulty.len();
    let what =
        if broken { ": more than f. Nothing that the protocol promises holds on this chain any more" } else { "" };
    writeln!(out, "faulty       {names}{what}")?;
    let verdict = match found.unproven {
        0 => "everything in it proves what it says".to_owned(),
        1 => "one thing in it proves nothing".to_owned(),
        many => format!("{many} things in it prove nothing"),
    };
    writeln!(out, "verdict      {verdict}")?;
    Ok(if found.unproven == 0 { 0 } else { UNPROVEN })
}

/// What the pieces prove.
#[derive(Default)]
struct Found {
    faulty: BTreeSet<ReplicaId>,
    unproven: usize,
}

impl Found {
    fn evidence(&mut self, auditor: &Auditor, bundle: &Bundle, out: &mut dyn Write) -> Result<(), Stop> {
        for evidence in &bundle.evidence {
            match auditor.evidence(evidence) {
                Ok(guilt) => {
                    writeln!(out, "proven       {} against {}: {}", guilt.offence.kind, guilt.offence.of, guilt.deed)?;
                    self.faulty.insert(guilt.offence.of);
                }
                Err(why) => {
                    writeln!(out, "NOT proven   {:?} against {}: {why}", evidence.kind(), evidence.accused())?;
                    self.unproven += 1;
                }
            }
        }
        Ok(())
    }

    fn certificates(&mut self, auditor: &Auditor, bundle: &Bundle, out: &mut dyn Write) -> Result<(), Stop> {
        let mut decided: BTreeMap<Slot, BTreeSet<Digest>> = BTreeMap::new();
        for certificate in &bundle.decided {
            let Claim { slot, digest, .. } = certificate.claim;
            match auditor.certificate(certificate, Phase::Commit) {
                Ok(()) => {
                    decided.entry(slot).or_default().insert(digest);
                }
                Err(why) => {
                    writeln!(out, "NOT proven   {why}")?;
                    self.unproven += 1;
                }
            }
        }
        if let (Some((first, _)), Some((last, _))) = (decided.first_key_value(), decided.last_key_value()) {
            writeln!(out, "decided      {} slots, {first} to {last}", decided.len())?;
        }
        for (slot, digests) in decided.iter().filter(|(_, digests)| digests.len() > 1) {
            let digests: Vec<String> = digests.iter().map(|digest| format!("{digest:?}")).collect();
            writeln!(out, "FORK         {slot} was decided as {}", digests.join(" and as "))?;
        }
        Ok(())
    }
}
