//! Bytes and signatures: what a message costs before it reaches the replica, and a record before it is on disk.

use cretoai_benches::{Committee, PRIMARY};
use cretoai_core::certificate::CertificateSet;
use cretoai_core::message::Message;
use cretoai_core::record::Record;
use cretoai_core::time::Instant;
use cretoai_core::types::{Slot, View};
use cretoai_core::vertex::Link;
use cretoai_core::vote::Phase;
use cretoai_core::wire;
use cretoai_sim::plan::Crypto;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;

/// Messages of the normal case, under the names that they have in reports.
struct Samples {
    messages: Vec<(&'static str, Message)>,
    /// What a backup records in a slot.
    records: Vec<Record>,
}

impl Samples {
    fn new(committee: &Committee) -> Self {
        let slot = Slot(1000);
        let vertex = committee.vertex(Link::genesis(committee.chain.id), Instant(1), 100, 100);
        let pre_prepare = Arc::new(committee.pre_prepare(slot, &vertex));
        let batch = Arc::clone(&pre_prepare.batches[0]);
        let digest = batch.digest();
        let [prepared, committed] =
            [Phase::Prepare, Phase::Commit].map(|phase| Arc::new(committee.certificate(phase, slot, digest)));
        let commit = committee.vote(PRIMARY, Phase::Commit, slot, digest);
        Self {
            messages: vec![
                ("COMMIT", Message::Vote(commit)),
                ("PRE-PREPARE", Message::PrePrepare(pre_prepare)),
                ("VERTEX-100x100B", Message::Vertex(Arc::clone(&vertex))),
                ("CERTIFICATES", Message::Certificates(Arc::new(CertificateSet(vec![Arc::clone(&prepared)])))),
            ],
            records: vec![
                Record::Vertex(vertex),
                Record::Batch(slot, batch),
                Record::Voted(View(0), slot, digest),
                Record::Prepared(prepared),
                Record::Committed(committed),
            ],
        }
    }
}

fn bytes(of: &[u8]) -> Throughput {
    Throughput::Bytes(of.len() as u64)
}

/// Messages between replicas. Decoding includes the check that the encoding is canonical.
fn messages(c: &mut Criterion) {
    let committee = Committee::new(Crypto::Ed25519, 4);
    let max_frame = wire::max_frame(&committee.chain);
    let mut group = c.benchmark_group("wire");
    for (name, message) in Samples::new(&committee).messages {
        let encoded = wire::encode(&message);
        assert_eq!(wire::decode(&encoded, max_frame).as_ref(), Ok(&message), "{name} survives");
        group.throughput(bytes(&encoded));
        group.bench_function(format!("encode/{name}"), |b| b.iter(|| wire::encode(black_box(&message))));
        group.bench_function(format!("decode/{name}"), |b| b.iter(|| wire::decode(black_box(&encoded), max_frame)));
    }
}

/// The records of a slot: each alone, and all as a frame of the log, with its checksum.
fn records(c: &mut Criterion) {
    let committee = Committee::new(Crypto::Ed25519, 4);
    let records = Samples::new(&committee).records;
    let mut group = c.benchmark_group("log");
    let each: Vec<_> = records.iter().map(wire::encode_record).collect();
    group.throughput(bytes(&each.concat()));
    group.bench_function("encode", |b| {
        b.iter(|| black_box(&records).iter().for_each(|record| drop(black_box(wire::encode_record(record)))));
    });
    group.bench_function("decode", |b| {
        b.iter(|| black_box(&each).iter().for_each(|record| drop(black_box(wire::decode_record(record)))));
    });
    let frame = wire::frame(&records, 1);
    group.throughput(bytes(&frame));
    group.bench_function("frame", |b| b.iter(|| wire::frame(black_box(&records), 1)));
    group.bench_function("read-frames", |b| b.iter(|| wire::read_frames(black_box(&frame)).expect("undamaged")));
}

/// Signing a vote, and verifying messages with everything that verification looks at.
fn signatures(c: &mut Criterion) {
    for (name, crypto) in
        [("simulated", Crypto::Simulated), ("ed25519", Crypto::Ed25519), ("ml-dsa-87", Crypto::MlDsa87)]
    {
        let committee = Committee::new(crypto, 4);
        let samples = Samples::new(&committee);
        let digest = committee.chain.id;
        let mut group = c.benchmark_group(format!("signatures/{name}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("sign/COMMIT", |b| {
            b.iter(|| committee.vote(PRIMARY, Phase::Commit, black_box(Slot(1000)), digest));
        });
        for (kind, message) in samples.messages {
            group.bench_function(format!("verify/{kind}"), |b| {
                b.iter(|| committee.verified(black_box(&message).clone()));
            });
        }
    }
}

criterion_group!(benches, messages, records, signatures);
criterion_main!(benches);
