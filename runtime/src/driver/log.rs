//! The log writer: one write at a time, each durable before the next begins (`docs/protocol.md` G5, G11).

use crate::env::Env;
use crate::store::{Store, StoreError};
use cretoai_core::record::Record;
use cretoai_core::types::Lsn;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Records to append, and others to delete with them.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) records: Vec<(Lsn, Record)>,
    pub(super) obsolete: Vec<Lsn>,
}

/// Everything up to here is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appended {
    pub(super) upto: Lsn,
}

type Ends = (mpsc::UnboundedSender<Write>, mpsc::UnboundedReceiver<Result<Appended, StoreError>>);

/// Starts the writer. The driver has at most one write under way, so neither queue grows.
pub(super) fn start<E: Env, S: Store>(env: &E, store: Arc<S>) -> Ends {
    let (writes, mut due) = mpsc::unbounded_channel::<Write>();
    let (done, appended) = mpsc::unbounded_channel();
    let blocking = env.clone();
    env.spawn(async move {
        while let Some(Write { records, obsolete }) = due.recv().await {
            let store = Arc::clone(&store);
            let write = move || {
                let upto = records.last().map_or(Lsn(0), |(lsn, _)| *lsn);
                store.append(&records, &obsolete).map(|()| Appended { upto })
            };
            let result = blocking.block(write).await;
            let failed = result.is_err();
            // Nothing is written after a failure: what the disk holds now is not known (G6).
            if done.send(result).is_err() || failed {
                return;
            }
        }
    });
    (writes, appended)
}
