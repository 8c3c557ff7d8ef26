//! Replicas that are gone without a goodbye.

use super::*;
use tokio::runtime::{Builder, Runtime};

/// A runtime of its own: when it is shut down, what runs on it says nothing any more, as if it were killed.
fn apart() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread")
}

/// So long that only a reset can tell that a link is down.
fn patient(config: &mut QuicConfig) {
    config.limits.idle_timeout = Duration::from_secs(600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_up_again_at_once_when_the_called_side_was_killed_and_is_back() {
    let chain = chain(Scheme::Ed25519, 2);
    let killed = apart();
    let one = {
        let _inside = killed.enter();
        try_start(&chain, 1, &[], patient).expect("a good configuration")
    };
    let address = one.local_addr().expect("it listens");
    let zero = try_start(&chain, 0, &[&one], patient).expect("a good configuration");
    connected(&zero, 1).await;
    connected(&one, 0).await;

    killed.shutdown_background();
    drop(one);
    let one = soon(async {
        loop {
            // The old socket is free when the old tasks are gone.
            match try_start(&chain, 1, &[], |config| config.bind = address) {
                Ok(one) => break one,
                Err(QuicError::Bind { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    });
    let one = one.await;
    connected(&one, 0).await;
    // The caller hears of it a moment after the called one.
    soon(zero.until(|zero| stats(zero, 1).reconnects() == 1)).await;
    passes(&one, &zero).await;
    passes(&zero, &one).await;
}
