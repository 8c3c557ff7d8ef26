//! What of a replica's log is needed (rules C7 and G14), and what a log must not say (rule G8).

use super::*;
use crate::replica::RecoverError;
use crate::verify::testing::digest;
use std::collections::BTreeSet;

/// A record in a few words.
fn words(record: &Record) -> String {
    match record {
        Record::OwnVertex(vertex) => format!("own vertex {}", vertex.body.height.0),
        Record::Vertex(vertex) => format!("vertex {} of {}", vertex.body.height.0, vertex.author()),
        Record::Batch(slot, _) => format!("batch {slot}"),
        Record::Voted(view, slot, _) => format!("voted {view} {slot}"),
        Record::Prepared(proof) => format!("prepared {} {}", proof.claim.view, proof.claim.slot),
        Record::Committed(proof) => format!("committed {}", proof.claim.slot),
        Record::OwnCheckpoint(vote) => format!("checkpoint {}", vote.slot),
        Record::Stable(proof) => format!("stable {}", proof.vote.slot),
        Record::ViewChangeSent(message) => format!("left for {}", message.signed.body.view),
        Record::NewViewInstalled(message) => format!("installed {}", message.signed.body.view),
        Record::StateInstalled(slot) => format!("state {slot}"),
        Record::Evidence(evidence) => format!("evidence against {}", evidence.accused()),
        Record::Halted(halt) => format!("halted {halt:?}"),
    }
}

impl Cluster {
    /// Deletes what is obsolete on a disk, and returns what is left.
    fn prune(&mut self, at: usize) -> BTreeSet<String> {
        let Node { replica, log, .. } = &mut self.nodes[at];
        log.retain(|record| !replica.is_obsolete(record));
        log.iter().map(words).collect()
    }

    /// Requests one by one, each in a slot of its own.
    fn execute(&mut self, entries: impl IntoIterator<Item = usize>, lose: impl Fn(&Message) -> bool) {
        for at in entries {
            self.request(at);
            self.run(Duration::from_millis(1), |_, _, message| lose(message));
        }
    }
}

/// The two replicas that follow from a log and from what of it is not obsolete.
fn recovered_twice(cluster: &Cluster, at: usize) -> [Replica; 2] {
    let id = ReplicaId(u16::try_from(at).unwrap());
    let Node { replica, log, snapshots, .. } = &cluster.nodes[at];
    let own = snapshots.iter().max_by_key(|(own, _)| own.core.slot).map(|(own, _)| own.clone());
    let recover = |records: Vec<Record>| {
        let signer = Box::new(cluster.world.signer(id.0));
        let chain = cluster.world.chain.clone();
        Replica::recover(chain, config(&cluster.world, id), signer, own.clone(), records).expect("a log")
    };
    let kept = log.iter().filter(|record| !replica.is_obsolete(record)).cloned().collect();
    [recover(log.clone()), recover(kept)]
}

#[test]
fn of_what_is_stable_only_the_last_interval_the_proofs_and_the_last_own_vertex_are_kept() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    // r3 makes one vertex, in slot 1, and the others the rest in turn.
    cluster.execute([3].into_iter().chain((1..42).map(|round| round % 3)), |_| false);
    assert_eq!((cluster.executed(), cluster.nodes[3].replica.stable()), (vec![42; 4], Slot(40)));
    let [all, kept] = recovered_twice(&cluster, 3);
    assert_eq!((all.stable(), all.authoring.tip), (kept.stable(), kept.authoring.tip));
    for (at, own) in [(3, vec![1]), (1, vec![38, 41])] {
        // Each refers to the one before, so its height is its slot.
        let vertex =
            |slot| if own.contains(&slot) { None } else { Some(format!("vertex {slot} of r{}", (slot - 1) % 3)) };
        let others = ["stable s36", "stable s40", "checkpoint s40"].map(str::to_owned);
        let own = own.iter().map(|height| format!("own vertex {height}"));
        let of_slots = (37..=42).flat_map(|slot| [format!("batch s{slot}"), format!("committed s{slot}")]);
        let above = (41..=42).flat_map(|slot| [format!("voted v0 s{slot}"), format!("prepared v0 s{slot}")]);
        let expected: BTreeSet<_> =
            of_slots.chain(above).chain((37..=42).filter_map(vertex)).chain(own).chain(others).collect();
        assert_eq!(cluster.prune(at), expected, "{at}");
    }
}

#[test]
fn of_votes_and_views_only_the_newest_are_kept_and_while_the_view_changes_the_claims_too() {
    let mut cluster = Cluster::new(4);
    cluster.run(Duration::from_millis(10), keep_all);
    cluster.execute([1, 1, 1], |message| message.kind() == "COMMIT");
    let votes = |view: u64| {
        let of_slot = |slot| [format!("voted v{view} s{slot}"), format!("prepared v{view} s{slot}")];
        (1..=3).flat_map(of_slot).collect::<BTreeSet<_>>()
    };
    // All want view 1, and no NEW-VIEW comes.
    cluster.run(Duration::from_millis(450), |_, _, message| ["COMMIT", "NEW-VIEW"].contains(&message.kind()));
    assert!(cluster.nodes[2].log.iter().any(|record| words(record) == "left for v1"));
    let kept = cluster.prune(2);
    assert!(votes(0).is_subset(&kept), "{kept:?}");
    let [all, pruned] = recovered_twice(&cluster, 2);
    assert_eq!(all.essence(), pruned.essence());
    // View 1 or a later one decides at last.
    cluster.run(Duration::from_secs(4), |_, _, message| message.kind() == "COMMIT");
    let replica = &cluster.nodes[2].replica;
    let (view, target) = (replica.view(), replica.target());
    assert!(View(1) < view, "{view} {target:?}");
    let [all, pruned] = recovered_twice(&cluster, 2);
    assert_eq!(all.essence(), pruned.essence());
    let kept = cluster.prune(2);
    let newest = votes(view.0);
    let views: Vec<_> =
        kept.iter().filter(|line| line.starts_with("left") || line.starts_with("installed")).cloned().collect();
    let mut expected = vec![format!("installed {view}")];
    expected.push(format!("left for {}", target.unwrap_or(view)));
    assert_eq!(views, expected);
    let said: BTreeSet<_> =
        kept.into_iter().filter(|line| line.starts_with("voted") || line.starts_with("prepared")).collect();
    assert_eq!(said, newest);
}

// Rule G8.
#[test]
fn records_that_contradict_each_other_refuse_the_start() {
    let world = World::new(4);
    let new_view = |view| {
        let bodies = [0, 1, 2].map(|id| world.view_change(id, view, 0, &[]));
        Record::NewViewInstalled(Arc::new(world.new_view_message(&bodies)))
    };
    let voted = |view, slot, byte| Record::Voted(View(view), Slot(slot), digest(byte));
    let stable = |slot| Record::Stable(Arc::new(world.checkpoint_certificate(slot, 0)));
    let cases = [
        ("the same vote twice", true, [voted(1, 5, 1), voted(1, 5, 1)]),
        ("another vote in a later view", true, [voted(1, 5, 1), voted(2, 5, 2)]),
        ("a vote of a lower view for another slot", true, [voted(1, 5, 1), voted(0, 6, 1)]),
        ("two votes of one view", false, [voted(1, 5, 1), voted(1, 5, 2)]),
        ("a vote of a lower view", false, [voted(1, 5, 1), voted(0, 5, 1)]),
        ("two views", true, [new_view(1), new_view(5)]),
        ("one view twice", false, [new_view(1), new_view(1)]),
        ("a view that falls", false, [new_view(5), new_view(1)]),
        ("two watermarks", true, [stable(4), stable(8)]),
        ("one watermark twice", false, [stable(4), stable(4)]),
        ("a watermark that falls", false, [stable(8), stable(4)]),
    ];
    for (what, is_right, records) in cases {
        let id = ReplicaId(3);
        let signer = Box::new(world.signer(id.0));
        let recovered = Replica::recover(world.chain.clone(), config(&world, id), signer, None, records);
        let is_refused = matches!(recovered, Err(RecoverError::Log(_)));
        assert_eq!(is_refused, !is_right, "{what}");
    }
}
