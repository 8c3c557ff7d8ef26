//! Clients that count: each swaps a few keys of its own from one number to the next, and goes on when that is final. A
//! step that was lost, or that happened twice, shows in the next one.

use super::cluster::{Cluster, LONG};
use cretoai_node::client::Client;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Keys of each client.
const KEYS: usize = 4;

/// How long a client waits for finality before it turns to another replica.
const PATIENCE: Duration = Duration::from_secs(2);

/// Clients at work.
pub(crate) struct Load {
    clients: Vec<JoinHandle<u64>>,
    stop: Arc<AtomicBool>,
    count: watch::Receiver<u64>,
}

impl Load {
    /// Starts clients of a cluster, which turn to these replicas.
    pub(crate) fn start(cluster: &Cluster, entries: &[usize], clients: usize) -> Self {
        let apis: Vec<String> = entries.iter().map(|id| cluster.api(*id)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (counted, count) = watch::channel(0);
        let clients = (0..clients).map(|number| {
            let (mut apis, stop, counted) = (apis.clone(), Arc::clone(&stop), counted.clone());
            apis.rotate_left(number % entries.len());
            tokio::spawn(async move {
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    last += 1;
                    step(number, last, &mut apis).await;
                    counted.send_modify(|count| *count += 1);
                }
                last
            })
        });
        Self { clients: clients.collect(), stop, count }
    }

    /// Waits until this many steps more are final.
    pub(crate) async fn goes_on(&mut self, cluster: &Cluster, more: u64) {
        let goal = *self.count.borrow() + more;
        let reached = tokio::time::timeout(LONG, self.count.wait_for(|count| goal <= *count)).await;
        let is_reached = matches!(reached, Ok(Ok(_)));
        assert!(is_reached, "not within {LONG:?}: {more} steps more are final\n{}", cluster.logs());
    }

    /// Ends the load when every client's last step is final. That last step then is what all these replicas show.
    pub(crate) async fn end(self, cluster: &Cluster, replicas: &[usize]) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut steps = 0;
        for (number, client) in self.clients.into_iter().enumerate() {
            let last = tokio::time::timeout(LONG, client).await;
            let last = last.unwrap_or_else(|_| panic!("a client still waits after {LONG:?}\n{}", cluster.logs()));
            let last = last.expect("no client finds a step lost");
            steps += last;
            for id in replicas {
                for key in 0..KEYS {
                    cluster.shows(*id, &name(number, key), &last.to_string()).await;
                }
            }
        }
        steps
    }
}

fn name(client: usize, key: usize) -> String {
    format!("client{client}-{key}")
}

/// Takes one step with all keys of a client, at whichever replica makes it final.
async fn step(number: usize, to: u64, apis: &mut [String]) {
    let swap = |key| {
        let expected = (1 < to).then(|| (to - 1).to_string());
        let mut swap = json!({ "key": name(number, key), "value": to.to_string() });
        if let Some(expected) = expected {
            swap["expected"] = expected.into();
        }
        json!({ "compare_and_swap": swap })
    };
    let requests: Vec<Value> = (0..KEYS).map(swap).collect();
    let timeout_ms = u64::try_from(PATIENCE.as_millis()).expect("seconds");
    let body = json!({ "wait": "finalized", "timeout_ms": timeout_ms, "requests": requests }).to_string();
    loop {
        let mut client = Client::new(&apis[0], PATIENCE * 2).expect("an address");
        if let Ok(answer) = client.post("/v1/requests", "application/json", body.clone()).await
            && is_taken(&answer.json(), to)
        {
            return;
        }
        apis.rotate_left(1);
        // Whoever is down is not asked without end.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether all keys show the step. It may have been final before the client heard of it.
fn is_taken(answer: &Value, to: u64) -> bool {
    let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let executed = results.iter().filter(|result| result["outcome"] == "executed").count();
    for result in results.iter().filter(|result| result["outcome"] == "executed") {
        let (swapped, shown) = (&result["result"]["swapped"], &result["result"]["differs"]["text"]);
        let is_right = *swapped == true || *shown == *to.to_string();
        assert!(is_right, "a step before {to} was lost, or somebody else took one: {result}");
    }
    executed == KEYS
}
