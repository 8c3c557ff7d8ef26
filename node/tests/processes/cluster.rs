//! A cluster of real processes, on the loopback interface or on hosts of a network of its own.

use super::judge::{chain, judge_files};
use super::lab::Switch;
use super::process::{Folder, Process, run};
use cretoai_node::client::{Answer, Client};
use cretoai_sim::judge::Judge;
use serde_json::Value;
use std::fs;
use std::future::Future;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Whatever does not happen within this time does not happen at all. Machines that build something else meanwhile are
/// slow.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The files of a chain, with the processes of its replicas.
pub(crate) struct Cluster {
    pub(crate) folder: Folder,
    processes: Vec<Option<Process>>,
    /// What each replica runs under.
    prefixes: Vec<Vec<String>>,
}

impl Cluster {
    /// Writes the files of a chain on the loopback interface.
    pub(crate) fn new(name: &str, scheme: &str, replicas: usize) -> Self {
        let folder = Folder::new(name);
        let (out, count, port) = (folder.file("net"), replicas.to_string(), free_ports(replicas).to_string());
        let made = run(&[
            "testnet",
            "--scheme",
            scheme,
            "--replicas",
            &count,
            "--base-port",
            &port,
            "--out",
            &out.to_string_lossy(),
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::create_dir(folder.file("events")).expect("a writable folder");
        Self { folder, processes: (0..replicas).map(|_| None).collect(), prefixes: vec![Vec::new(); replicas] }
    }

    /// Writes the files of a chain whose replicas are on the hosts of a switch.
    pub(crate) fn on_hosts(name: &str, scheme: &str, replicas: usize) -> (Self, Switch) {
        let mut cluster = Self::new(name, scheme, replicas);
        let switch = Switch::new(replicas);
        let mut moved = Vec::new();
        for id in 0..replicas {
            for key in ["listen", "api", "metrics"] {
                let address = cluster.setting(id, key);
                moved.push((address.replace("127.0.0.1", &Switch::address(id)), address));
            }
            cluster.prefixes[id] = Switch::prefix(id);
        }
        for id in 0..replicas {
            let mut text = fs::read_to_string(cluster.config(id)).expect("it was written");
            for (new, old) in &moved {
                text = text.replace(old, new);
            }
            fs::write(cluster.config(id), text).expect("it is ours");
        }
        (cluster, switch)
    }

    pub(crate) fn config(&self, id: usize) -> PathBuf {
        self.folder.file(&format!("net/node{id}/node.toml"))
    }

    fn setting(&self, id: usize, key: &str) -> String {
        let text = fs::read_to_string(self.config(id)).expect("it was written");
        let table: toml::Table = text.parse().expect("it is TOML");
        table[key].as_str().expect("a string").to_owned()
    }

    pub(crate) fn api(&self, id: usize) -> String {
        format!("http://{}", self.setting(id, "api"))
    }

    pub(crate) fn metrics(&self, id: usize) -> String {
        format!("http://{}", self.setting(id, "metrics"))
    }

    /// The file of events of each replica.
    pub(crate) fn events(&self) -> Vec<PathBuf> {
        (0..self.processes.len()).map(|id| self.folder.file(&format!("events/{id}"))).collect()
    }

    /// What a replica logged.
    pub(crate) fn log(&self, id: usize) -> String {
        fs::read_to_string(self.folder.file(&format!("node{id}.err"))).unwrap_or_default()
    }

    /// The ends of all logs.
    pub(crate) fn logs(&self) -> String {
        let end = |id| {
            let log = self.log(id);
            let lines: Vec<&str> = log.lines().collect();
            format!("replica {id}:\n{}\n", lines[lines.len().saturating_sub(20)..].join("\n"))
        };
        (0..self.processes.len()).map(end).collect()
    }

    pub(crate) fn start(&mut self, id: usize) {
        self.start_under(id, &[], &[]);
    }

    /// Starts a replica under another program, and with more arguments.
    pub(crate) fn start_under(&mut self, id: usize, prefix: &[&str], more: &[&str]) {
        let (config, events) = (self.config(id), self.events().swap_remove(id));
        let (config, events) = (config.to_string_lossy(), events.to_string_lossy());
        let args = [&["start", "--config", &config, "--events", &events], more].concat();
        let prefix: Vec<&str> = self.prefixes[id].iter().map(String::as_str).chain(prefix.iter().copied()).collect();
        let output = self.folder.file(&format!("node{id}.out"));
        // The process before has to be gone: its ports and its store are taken over.
        self.processes[id] = None;
        self.processes[id] = Some(Process::spawn_under(&prefix, &args, &output));
    }

    pub(crate) fn start_all(&mut self) {
        (0..self.processes.len()).for_each(|id| self.start(id));
    }

    /// Starts all, and waits until they are ready.
    pub(crate) async fn start_up(&mut self) {
        self.start_all();
        self.all_ready().await;
    }

    pub(crate) fn process(&mut self, id: usize) -> &mut Process {
        self.processes[id].as_mut().expect("it was started")
    }

    /// Ends a process without warning.
    pub(crate) fn kill(&mut self, id: usize) {
        self.processes[id] = None;
    }

    /// Ends several without warning, at the same moment.
    pub(crate) fn kill_together(&mut self, ids: &[usize]) {
        for id in ids {
            self.process(*id).signal("-KILL");
        }
        ids.iter().for_each(|id| self.kill(*id));
    }

    /// Stops all that run as an operator does, and expects them to obey.
    pub(crate) async fn stop_all(&mut self) {
        let mut running: Vec<Process> = self.processes.iter_mut().filter_map(Option::take).collect();
        running.retain_mut(|process| process.status().is_none());
        for process in &running {
            process.signal("-TERM");
        }
        for process in &mut running {
            let status = process.ended(Duration::from_secs(5)).await;
            assert_eq!(status.code(), Some(0), "after SIGTERM\n{}", self.logs());
        }
    }

    /// Stops all, and lets the oracles judge everything that every replica ever said and did.
    pub(crate) async fn finish(mut self) -> Judge {
        self.stop_all().await;
        let judge = judge_files(&chain(&self.folder.file("net/genesis.toml")), &self.events());
        assert_eq!(judge.violation(), None, "{}", self.logs());
        assert!(1 <= judge.last().0, "nothing was executed");
        judge
    }

    pub(crate) async fn all_ready(&self) {
        for id in 0..self.processes.len() {
            self.ready(id).await;
        }
    }

    pub(crate) async fn ready(&self, id: usize) {
        let url = self.api(id);
        let is_ready = async || get(&url, "/health/ready").await.filter(|answer| answer.status.is_success());
        until(&format!("replica {id} is ready"), is_ready, || self.logs()).await;
    }

    /// Waits until a replica that was away has executed what others have executed by now. It may vote later: who
    /// suspects the primary alone while it catches up does so in the next view (`docs/protocol.md` V10).
    pub(crate) async fn catches_up(&self, id: usize) {
        let mut goal = 0;
        for other in (0..self.processes.len()).filter(|other| *other != id && self.processes[*other].is_some()) {
            goal = self.applied(other).await.max(goal);
        }
        self.passes(id, goal).await;
    }

    pub(crate) async fn status(&self, id: usize) -> Value {
        let url = self.api(id);
        let ask = async || get(&url, "/v1/status").await.filter(|answer| answer.status.is_success());
        until(&format!("replica {id} tells its status"), ask, || self.logs()).await.json()
    }

    /// The last slot that a replica's application has executed.
    pub(crate) async fn applied(&self, id: usize) -> u64 {
        self.status(id).await["applied"].as_u64().expect("a number")
    }

    /// Waits until a replica's application has executed a slot.
    pub(crate) async fn passes(&self, id: usize, slot: u64) {
        let url = self.api(id);
        let passed = async || {
            let status = get(&url, "/v1/status").await?.json();
            status["applied"].as_u64().filter(|applied| slot <= *applied)
        };
        until(&format!("replica {id} has applied slot {slot}"), passed, || self.logs()).await;
    }

    /// Puts a key through a replica, and waits until that is final.
    pub(crate) async fn put(&self, id: usize, key: &str, value: &str) {
        let body = format!(r#"{{"wait":"finalized","request":{{"put":{{"key":"{key}","value":"{value}"}}}}}}"#);
        let answer = post(&self.api(id), "/v1/requests", "application/json", body.as_bytes()).await;
        let outcome = &answer.json()["results"][0]["outcome"];
        assert_eq!(*outcome, "executed", "{}\n{}", answer.text(), self.logs());
    }

    /// Waits until a replica shows a value.
    pub(crate) async fn shows(&self, id: usize, key: &str, value: &str) {
        let (url, path) = (self.api(id), format!("/v1/kv/{key}"));
        let shown = async || get(&url, &path).await.filter(|answer| answer.json()["value"]["text"] == value);
        until(&format!("replica {id} shows {key} = {value}"), shown, || self.logs()).await;
    }

    /// Puts a key through one replica, and waits until all of these show it.
    pub(crate) async fn agrees(&self, through: usize, key: &str, at: &[usize]) {
        self.put(through, key, "agreed").await;
        for id in at {
            self.shows(*id, key, "agreed").await;
        }
    }
}

/// The first of a block of ports that nobody uses. They lie below those that the system gives out by itself: a replica
/// that was away has to find its own free.
fn free_ports(replicas: usize) -> u16 {
    const BLOCKS: u16 = 60;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % u32::from(BLOCKS)).expect("small");
    let replicas = u16::try_from(replicas).expect("small");
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in 0..BLOCKS {
        let base = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % BLOCKS * 300;
        let is_unused = |id| {
            let listen = UdpSocket::bind(("127.0.0.1", base + id)).is_ok();
            listen && is_free(base + 100 + id) && is_free(base + 200 + id)
        };
        if (0..replicas).all(is_unused) {
            return base;
        }
    }
    panic!("no {replicas} free ports from 10000 to 28000");
}

fn client(url: &str) -> Client {
    Client::new(url, Duration::from_secs(20)).expect("an address")
}

pub(crate) async fn get(url: &str, path: &str) -> Option<Answer> {
    client(url).get(path).await.ok()
}

pub(crate) async fn post(url: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
    client(url).post(path, kind, body.to_vec()).await.expect("an answer")
}

/// Asks until there is an answer.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
    explain: impl FnOnce() -> String,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        if LONG < start.elapsed() {
            panic!("not within {LONG:?}: {what}\n{}", explain());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
