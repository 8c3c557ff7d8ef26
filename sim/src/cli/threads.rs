//! Work on several threads.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

/// As many threads as were asked for; one for each core if nobody asked.
pub(super) fn jobs(asked: Option<u16>) -> usize {
    let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    asked.map_or_else(cores, usize::from)
}

/// Does tasks, and takes what came of them in the order of the tasks.
///
/// # Errors
/// The first of `take`, or of the work if `take` passes it on. What is begun then is the last.
pub(super) fn each<T: Sync, R: Send, E>(
    tasks: &[T],
    jobs: usize,
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let mut early = BTreeMap::new();
    let mut taken = 0;
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..jobs.min(tasks.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(at) else { return };
                    if sender.send((at, work(task))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (at, done) in receiver {
            early.insert(at, done);
            while let Some(done) = early.remove(&taken) {
                taken += 1;
                take(done).inspect_err(|_| next.store(tasks.len(), Ordering::Relaxed))?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn what_came_of_tasks_is_taken_in_their_order_whichever_is_done_first() {
        let (barrier, mut taken) = (Barrier::new(2), Vec::new());
        let work = |task: &u32| {
            // The first waits for the second.
            if *task < 2 {
                barrier.wait();
            }
            task * 10
        };
        let all: Result<(), ()> = each(&[0, 1, 2, 3, 4], 2, work, |done| {
            taken.push(done);
            Ok(())
        });
        assert_eq!((all, taken), (Ok(()), vec![0, 10, 20, 30, 40]));
    }

    #[test]
    fn after_an_error_nothing_more_is_taken() {
        let mut taken = 0;
        let tasks: Vec<u32> = (0..100).collect();
        let all = each(
            &tasks,
            3,
            |task| *task,
            |done| {
                taken += 1;
                if done < 7 { Ok(()) } else { Err(done) }
            },
        );
        assert_eq!((all, taken), (Err(7), 8));
    }
}
