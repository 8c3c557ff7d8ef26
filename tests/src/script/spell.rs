//! From the words of a script to messages.

use super::world::{Options, Pen, World, number, replica};
use cretoai_core::certificate::{Certificate, CertificateSet, Claim};
use cretoai_core::checkpoint::{CheckpointCertificate, CheckpointVote};
use cretoai_core::choice::select;
use cretoai_core::hash::Digest;
use cretoai_core::message::{
    Data, FetchItem, Message, NewView, NewViewMessage, PrePrepare, Progress, Signed, Status, ViewChange,
    ViewChangeMessage,
};
use cretoai_core::signature::{Signature, Statement};
use cretoai_core::types::{ReplicaId, Slot, View};
use cretoai_core::vote::{Entries, Phase, Vote};
use std::sync::Arc;

/// The words of a line: those with `=` are options.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    pub(crate) plain: Vec<&'a str>,
    pub(crate) options: Options<'a>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        let is_option = |word: &&str| word.len() > 1 && word.contains('=');
        let plain = line.split_whitespace().filter(|word| !is_option(word)).collect();
        let options = line.split_whitespace().filter(is_option).filter_map(|word| word.split_once('=')).collect();
        Self { plain, options }
    }
}

fn some<'a>(words: &[&'a str], at: usize, what: &str) -> Result<&'a str, String> {
    words.get(at).copied().ok_or_else(|| format!("{what} is missing"))
}

/// `s1:v0:A`
fn claim(world: &mut World, word: &str) -> Result<Claim, String> {
    let parts: Vec<_> = word.split(':').collect();
    let [slot, view, digest] = parts[..] else { return Err(format!("{word} is not a claim, as s1:v0:A is")) };
    Ok(Claim { slot: Slot(number(slot)?), view: View(number(view)?), digest: world.digest(digest)? })
}

fn claims(world: &mut World, list: Option<&&str>) -> Result<Vec<Claim>, String> {
    let list = list.copied().unwrap_or("-");
    if list == "-" {
        return Ok(Vec::new());
    }
    list.split(',').map(|word| claim(world, word)).collect()
}

/// `r0,r1,r3@v1`: signers, of whom some sign another view. The first quorum if nothing is said.
fn signers(world: &World, list: Option<&str>, view: View) -> Result<Vec<(ReplicaId, View)>, String> {
    let Some(list) = list else {
        return Ok((0..world.chain.committee.quorum()).map(|id| (ReplicaId(id), view)).collect());
    };
    let signer = |word: &str| match word.split_once('@') {
        Some((id, view)) => Ok((replica(id)?, View(number(view)?))),
        None => Ok((replica(word)?, view)),
    };
    list.split(',').map(signer).collect()
}

/// `s1:v0:A/r0,r1,r2`
fn certificate(world: &mut World, phase: Phase, word: &str, options: &Options<'_>) -> Result<Arc<Certificate>, String> {
    let (word, by) = word.split_once('/').map_or((word, None), |(word, by)| (word, Some(by)));
    let claim = claim(world, word)?;
    let mut votes = Vec::new();
    for (signer, view) in signers(world, by, claim.view)? {
        let vote = Vote::one(phase, view, claim.slot, claim.digest);
        votes.push(world.pen(signer, options)?.sign(vote, |vote| Statement::Vote(vote)));
    }
    Ok(Arc::new(Certificate::from_votes(phase, claim, votes)))
}

fn certificates(world: &mut World, list: &str) -> Result<Vec<Arc<Certificate>>, String> {
    if list == "-" {
        return Ok(Vec::new());
    }
    let none = Options::new();
    list.split('+').map(|word| certificate(world, Phase::Prepare, word, &none)).collect()
}

/// `s4:S/r0,r1,r2`
fn checkpoint(world: &mut World, word: &str) -> Result<Arc<CheckpointCertificate>, String> {
    let (word, by) = word.split_once('/').map_or((word, None), |(word, by)| (word, Some(by)));
    let (slot, state) = word.split_once(':').ok_or("a checkpoint is s4:S")?;
    let vote = CheckpointVote { slot: Slot(number(slot)?), state: world.digest(state)? };
    let mut votes = Vec::new();
    for (signer, _) in signers(world, by, View(0))? {
        let pen = world.pen(signer, &Options::new())?;
        votes.push(pen.sign(vote, |vote| Statement::Checkpoint(vote)));
    }
    Ok(Arc::new(CheckpointCertificate { vote, votes }))
}

/// `v0 s1 A s2 B`
fn vote(
    world: &mut World,
    phase: Phase,
    pen: Pen,
    words: &[&str],
    options: &Options<'_>,
) -> Result<Signed<Vote>, String> {
    let view = View(number(some(words, 0, "the view")?)?);
    let mut entries = Vec::new();
    for pair in words[1..].chunks(2) {
        entries.push((Slot(number(pair[0])?), world.digest(some(pair, 1, "the batch")?)?));
    }
    let body = Vote { phase, view, entries: Entries::new(&entries) };
    // The signature of the same words in the other phase.
    let signed = match options.get("signed").copied() {
        Some("PREPARE") => Vote { phase: Phase::Prepare, ..body.clone() },
        Some("COMMIT") => Vote { phase: Phase::Commit, ..body.clone() },
        _ => body.clone(),
    };
    let signature: Signature = pen.signature(Statement::Vote(&signed));
    Ok(Signed { signer: pen.named, body, signature })
}

fn pre_prepare(world: &World, vote: Signed<Vote>) -> Result<Message, String> {
    let batch = |(_, digest): (Slot, Digest)| world.batch(&world.name_of(digest)).cloned();
    let batches = vote.body.entries.iter().map(batch).collect::<Result<_, _>>()?;
    Ok(Message::PrePrepare(Arc::new(PrePrepare { vote, batches })))
}

/// `v1 h=4:S P=s5:v0:A Q=s5:v0:A certs=s5:v0:A ckpt=s4:S`
fn view_change(world: &mut World, pen: Pen, words: &[&str], options: &Options<'_>) -> Result<Message, String> {
    let (stable, state) = options.get("h").copied().unwrap_or("0:genesis").split_once(':').ok_or("h is h=4:S")?;
    let prepared = claims(world, options.get("P"))?;
    let voted = if options.contains_key("Q") { claims(world, options.get("Q"))? } else { prepared.clone() };
    let view = View(number(some(words, 0, "the view")?)?);
    let body = ViewChange { view, stable: Slot(number(stable)?), state: world.digest(state)?, prepared, voted };
    let signed = Arc::new(pen.sign(body, |body| Statement::ViewChange(body)));
    let certificates = CertificateSet(certificates(world, options.get("certs").unwrap_or(&"-"))?);
    let stable = options.get("ckpt").map(|word| checkpoint(world, word)).transpose()?;
    Ok(Message::ViewChange(Arc::new(ViewChangeMessage { signed, stable, certificates })))
}

/// `v1 V=own,x,y`; what follows from these unless said otherwise: `O=s1:A,s2:NULL h=4 certs=s1:v0:A ckpt=s4:S`, and
/// `missing=x` for one that does not travel along.
fn new_view(world: &mut World, pen: Pen, words: &[&str], options: &Options<'_>) -> Result<Message, String> {
    let view = View(number(some(words, 0, "the view")?)?);
    let names: Vec<&str> = options.get("V").ok_or("V=own,x,y is missing")?.split(',').collect();
    let bodies = names.iter().map(|name| world.view_change(name)).collect::<Result<Vec<_>, _>>()?;
    let selection = select(bodies.iter().map(|held| &held.body)).ok();
    let stable = match options.get("h") {
        Some(stable) => Slot(number(stable)?),
        None => selection.as_ref().map(|selection| selection.stable).unwrap_or_default(),
    };
    let proposals = match options.get("O").copied() {
        None => selection.as_ref().map(|selection| selection.proposals.clone()).unwrap_or_default(),
        Some("-") => Vec::new(),
        Some(list) => {
            let mut proposals = Vec::new();
            for word in list.split(',') {
                let (slot, digest) = word.split_once(':').ok_or("O is O=s1:A,s2:NULL")?;
                proposals.push((Slot(number(slot)?), world.digest(digest)?));
            }
            proposals
        }
    };
    let proofs = match options.get("certs") {
        Some(list) => certificates(world, list)?,
        None => {
            let selected = selection.map(|selection| selection.selected).unwrap_or_default();
            let word = |claim: &Claim| format!("{}:{}:{}", claim.slot, claim.view, world.name_of(claim.digest));
            let words: Vec<String> = selected.iter().map(word).collect();
            if words.is_empty() { Vec::new() } else { certificates(world, &words.join("+"))? }
        }
    };
    let body = NewView { view, view_changes: bodies.iter().map(|held| held.id()).collect(), stable, proposals };
    let signed = pen.sign(body, |body| Statement::NewView(body));
    let missing = options.get("missing").copied().unwrap_or_default();
    let travels = names.iter().zip(bodies).filter(|(name, _)| **name != missing);
    let view_changes = travels.map(|(_, body)| body).collect();
    let stable = options.get("ckpt").map(|word| checkpoint(world, word)).transpose()?;
    let certificates = CertificateSet(proofs);
    Ok(Message::NewView(Arc::new(NewViewMessage { signed, view_changes, stable, certificates })))
}

/// `view=0 target=1 h=0 exec=0 slots=nothing,accepted pending=a,b`
fn status(world: &mut World, pen: Pen, options: &Options<'_>) -> Result<Message, String> {
    let of = |key: &str| options.get(key).map_or(Ok(0), |word| number(word));
    let slot = |word: &str| match word {
        "nothing" => Ok(Progress::Nothing),
        "accepted" => Ok(Progress::Accepted),
        "prepared" => Ok(Progress::Prepared),
        "committed" => Ok(Progress::Committed),
        _ => Err(format!("{word} is no progress")),
    };
    let list = |key: &str| options.get(key).map_or(Vec::new(), |words| words.split(',').collect());
    let body = Status {
        view: View(of("view")?),
        target: options.get("target").map(|word| number(word)).transpose()?.map(View),
        stable: Slot(of("h")?),
        executed: Slot(of("exec")?),
        progress: list("slots").into_iter().map(slot).collect::<Result<_, _>>()?,
        pending: list("pending").into_iter().map(|name| world.digest(name)).collect::<Result<_, _>>()?,
    };
    Ok(Message::Status(Arc::new(pen.sign(body, |body| Statement::Status(body)))))
}

/// `vertex a`, `batch s1 A`, `certificate s1:v0:A`, `checkpoint s4`, `new-view v1`, `manifest s4`, `chunk s4 S.app`
fn fetch(world: &mut World, words: &[&str]) -> Result<Message, String> {
    let item = match some(words, 0, "what is fetched")? {
        "vertex" => FetchItem::Vertex(world.digest(some(words, 1, "the vertex")?)?),
        "batch" => {
            FetchItem::Batch(Slot(number(some(words, 1, "the slot")?)?), world.digest(some(words, 2, "the batch")?)?)
        }
        "certificate" => FetchItem::Certificate(Phase::Prepare, claim(world, some(words, 1, "the claim")?)?),
        "checkpoint" => FetchItem::StableCheckpoint(Slot(number(some(words, 1, "the slot")?)?)),
        "new-view" => FetchItem::NewView(View(number(some(words, 1, "the view")?)?)),
        "manifest" => FetchItem::Manifest(Slot(number(some(words, 1, "the slot")?)?)),
        "chunk" => {
            FetchItem::Chunk(Slot(number(some(words, 1, "the slot")?)?), world.digest(some(words, 2, "the chunk")?)?)
        }
        "recollection" => FetchItem::Recollection,
        other => return Err(format!("nobody fetches a {other}")),
    };
    let times = words.get(3).map_or(Ok(1), |times| number(times))?;
    let items = std::iter::repeat_n(item, usize::try_from(times).map_err(|_| "too many")?);
    Ok(Message::Fetch(Arc::new(items.collect())))
}

/// `S core0`, `S app`, `junk`
fn chunk(world: &World, words: &[&str]) -> Result<Message, String> {
    let name = some(words, 0, "the state")?;
    if name == "junk" {
        return Ok(Message::Data(Arc::new(Data::Chunk(Arc::new(cretoai_core::bytes::Bytes(b"junk".to_vec()))))));
    }
    let state = world.state(name)?;
    let chunk = match some(words, 1, "which chunk")? {
        "app" => &state.app,
        core => {
            let index = usize::try_from(number(core)?).map_err(|_| "too large")?;
            state.core.chunks.get(index).ok_or("there is no such chunk")?
        }
    };
    Ok(Message::Data(Arc::new(Data::Chunk(chunk.clone()))))
}

/// A message, from the words that follow `deliver`: its signer, its kind, and what it says.
pub(crate) fn message(world: &mut World, words: &Words<'_>) -> Result<Message, String> {
    let Words { plain, options } = words;
    let key = replica(some(plain, 0, "the signer")?)?;
    let kind = some(plain, 1, "the kind")?;
    let rest = &plain[2..];
    let pen = world.pen(key, options)?;
    match kind {
        "Vertex" => Ok(Message::Vertex(world.vertex(some(rest, 0, "the vertex")?)?.clone())),
        "PrePrepare" => {
            let vote = vote(world, Phase::Prepare, pen, rest, options)?;
            pre_prepare(world, vote)
        }
        "Prepare" => Ok(Message::Vote(vote(world, Phase::Prepare, pen, rest, options)?)),
        "Commit" => Ok(Message::Vote(vote(world, Phase::Commit, pen, rest, options)?)),
        "Checkpoint" => {
            let slot = Slot(number(some(rest, 0, "the slot")?)?);
            let vote = CheckpointVote { slot, state: world.digest(some(rest, 1, "the state")?)? };
            Ok(Message::Checkpoint(pen.sign(vote, |vote| Statement::Checkpoint(vote))))
        }
        "StableCheckpoint" => Ok(Message::StableCheckpoint(checkpoint(world, some(rest, 0, "the checkpoint")?)?)),
        "ViewChange" => view_change(world, pen, rest, options),
        "NewView" => new_view(world, pen, rest, options),
        "Status" => status(world, pen, options),
        "CommitCert" | "PrepareCert" => {
            let phase = if kind == "CommitCert" { Phase::Commit } else { Phase::Prepare };
            let certificate = certificate(world, phase, some(rest, 0, "the claim")?, options)?;
            Ok(Message::Certificates(Arc::new(CertificateSet(vec![certificate]))))
        }
        "Fetch" => fetch(world, rest),
        // Of a replica that holds nothing of its receiver's.
        "Recollection" => Ok(Message::Recollection(Arc::default())),
        "Batch" => Ok(Message::Data(Arc::new(Data::Batch(world.batch(some(rest, 0, "the batch")?)?.clone())))),
        "Manifest" => {
            let mut manifest = world.state(some(rest, 0, "the state")?)?.manifest();
            if rest.get(1) == Some(&"altered") {
                manifest.app.push(Digest([7; 32]));
            }
            Ok(Message::Data(Arc::new(Data::Manifest(Arc::new(manifest)))))
        }
        "Chunk" => chunk(world, rest),
        other => Err(format!("no message is a {other}")),
    }
}
