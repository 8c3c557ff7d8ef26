//! Random calls do the same to a store on a disk, with restarts, as to one in memory.

use super::{crash_image, create, folder, open};
use crate::store::tests::{record, signed, snapshot};
use crate::store::{FinalizedSlot, MemoryStore, RocksStore, Store};
use cretoai_core::ledger::{Verdict, chunk_hash};
use cretoai_core::time::Instant;
use cretoai_core::types::{Height, Lsn, Slot};
use cretoai_core::vertex::SignedVertex;
use proptest::prelude::*;
use std::sync::Arc;
use tempfile::TempDir;

#[derive(Clone, Debug)]
enum Call {
    /// Appends some records and deletes those whose position modulo a number is another.
    Append {
        records: u64,
        modulus: u64,
    },
    /// A snapshot with chunks out of a few.
    Snapshot {
        slot: u64,
        core: Vec<u8>,
        app: Vec<u8>,
    },
    Drop {
        slots: Vec<u64>,
    },
    /// The next slots, each with vertices of these authors; or slots that were added before, again.
    Finalize {
        slots: Vec<Vec<(u16, u8)>>,
    },
    FinalizeAgain {
        slots: usize,
    },
    Trust,
    Flush,
    /// The store is closed and opened again.
    Restart,
    /// The process is killed.
    Crash,
}

fn call() -> impl Strategy<Value = Call> {
    let bytes = || prop::collection::vec(0_u8..12, 0..5);
    let slot = prop::collection::vec((0_u16..4, 0_u8..6), 0..5);
    prop_oneof![
        4 => (0_u64..6, 1_u64..4).prop_map(|(records, modulus)| Call::Append { records, modulus }),
        3 => (0_u64..5, bytes(), bytes()).prop_map(|(slot, core, app)| Call::Snapshot { slot, core, app }),
        2 => prop::collection::vec(0_u64..5, 0..3).prop_map(|slots| Call::Drop { slots }),
        4 => prop::collection::vec(slot, 0..4).prop_map(|slots| Call::Finalize { slots }),
        1 => (0_usize..9).prop_map(|slots| Call::FinalizeAgain { slots }),
        1 => Just(Call::Trust),
        1 => Just(Call::Flush),
        1 => Just(Call::Restart),
        1 => Just(Call::Crash),
    ]
}

fn slices(chunks: &[Vec<u8>]) -> Vec<&[u8]> {
    chunks.iter().map(Vec::as_slice).collect()
}

/// Both stores, and what was finalized.
struct Pair {
    memory: MemoryStore,
    disk: Option<RocksStore>,
    folder: TempDir,
    slots: Vec<FinalizedSlot>,
    last: Vec<Option<Arc<SignedVertex>>>,
}

impl Pair {
    fn new() -> Self {
        let folder = folder();
        let disk = Some(create(folder.path()));
        Self { memory: MemoryStore::new(), disk, folder, slots: Vec::new(), last: vec![None; 4] }
    }

    fn disk(&self) -> &RocksStore {
        self.disk.as_ref().expect("it is open between calls")
    }

    fn on_both(&self, call: impl Fn(&dyn Store)) {
        call(&self.memory);
        call(self.disk());
    }

    fn make(&mut self, call: Call) {
        match call {
            Call::Append { records, modulus } => {
                let end = self.memory.recover().unwrap().end.0;
                let records: Vec<_> = (end + 1..=end + records).map(|at| (Lsn(at), record(at))).collect();
                let obsolete: Vec<_> = (1..=end).filter(|at| at % (modulus + 1) == 0).map(Lsn).collect();
                self.on_both(|store| store.append(&records, &obsolete).unwrap());
            }
            Call::Snapshot { slot, core, app } => {
                let chunks = |bytes: &[u8]| bytes.iter().map(|byte| vec![*byte; 1000]).collect::<Vec<_>>();
                let (core, app) = (chunks(&core), chunks(&app));
                let snapshot = snapshot(slot, &slices(&core), &slices(&app));
                self.on_both(|store| store.put_snapshot(&snapshot).unwrap());
            }
            Call::Drop { slots } => {
                let slots: Vec<Slot> = slots.into_iter().map(Slot).collect();
                self.on_both(|store| store.drop_snapshots(&slots).unwrap());
            }
            Call::Finalize { slots } => {
                let from = self.slots.len();
                slots.iter().for_each(|slot| self.next_slot(slot));
                self.on_both(|store| store.finalize(&self.slots[from..]).unwrap());
            }
            Call::FinalizeAgain { slots } => {
                let from = self.slots.len().saturating_sub(slots);
                self.on_both(|store| store.finalize(&self.slots[from..]).unwrap());
            }
            Call::Trust => self.on_both(|store| store.trust().unwrap()),
            Call::Flush => self.disk().flush().unwrap(),
            Call::Restart => {
                self.disk = None;
                self.disk = Some(open(self.folder.path()).unwrap());
            }
            Call::Crash => {
                // What is merged behind the scenes must not change while it is copied.
                self.disk().db.cancel_all_background_work(true);
                let image = crash_image(self.folder.path());
                self.disk = Some(open(image.path()).unwrap());
                self.folder = image;
            }
        }
    }

    /// A slot with vertices of some authors. Most become final.
    fn next_slot(&mut self, authors: &[(u16, u8)]) {
        let slot = u64::try_from(self.slots.len()).unwrap() + 1;
        let mut listed: Vec<(Arc<SignedVertex>, Verdict)> = Vec::new();
        for (author, chance) in authors {
            let parents: Vec<_> = self.last.iter().flatten().filter(|_| *chance % 2 == 0).collect();
            let own = self.last[usize::from(*author)].iter();
            let parents: Vec<_> = own.chain(parents).collect();
            let height = parents.iter().map(|parent| parent.body.height.0).max().unwrap_or_default() + 1;
            let vertex = signed(*author, height, &parents, &slot.to_be_bytes());
            let is_new = listed.iter().all(|(other, _)| other.author() != vertex.author());
            let verdict = if is_new && *chance > 0 { Verdict::Final } else { Verdict::Missing };
            listed.push((vertex, verdict));
        }
        for (vertex, _) in listed.iter().filter(|(_, verdict)| *verdict == Verdict::Final) {
            self.last[vertex.author().index()] = Some(Arc::clone(vertex));
        }
        // Two slots each have the same time.
        self.slots.push(FinalizedSlot { slot: Slot(slot), time: Instant(slot / 2 * 100), listed });
    }

    /// Asks both for everything.
    fn compare(&self) {
        let (memory, disk) = (&self.memory, self.disk());
        let (left, right) = (memory.recover().unwrap(), disk.recover().unwrap());
        assert_eq!(left.records, right.records);
        assert_eq!((left.end, left.is_distrusted), (right.end, right.is_distrusted));
        assert_eq!(left.snapshots, right.snapshots);
        for slot in 0..5 {
            for byte in 0..12 {
                let hash = chunk_hash(&[byte; 1000]);
                assert_eq!(memory.chunk(Slot(slot), hash).unwrap(), disk.chunk(Slot(slot), hash).unwrap());
            }
        }
        assert_eq!(memory.last_finalized().unwrap(), disk.last_finalized().unwrap());
        assert_eq!(memory.tips().unwrap(), disk.tips().unwrap());
        for limit in [3, usize::MAX] {
            let slots = Slot(2)..=Slot(40);
            assert_eq!(memory.finalized(slots.clone(), limit).unwrap(), disk.finalized(slots, limit).unwrap());
            let heights = Height(2)..=Height(9);
            assert_eq!(memory.by_height(heights.clone(), limit).unwrap(), disk.by_height(heights, limit).unwrap());
            let times = Instant(100)..=Instant(900);
            assert_eq!(memory.by_time(times.clone(), limit).unwrap(), disk.by_time(times, limit).unwrap());
            for (vertex, _) in self.slots.iter().flat_map(|slot| &slot.listed) {
                let id = vertex.id();
                assert_eq!(memory.vertex(id).unwrap(), disk.vertex(id).unwrap());
                assert_eq!(memory.children(id, limit).unwrap(), disk.children(id, limit).unwrap());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_disk_does_what_memory_does(calls in prop::collection::vec(call(), 1..30)) {
        let mut pair = Pair::new();
        for call in calls {
            pair.make(call);
        }
        pair.compare();
        pair.make(Call::Restart);
        pair.compare();
    }
}
