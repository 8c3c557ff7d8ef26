//! A cluster of real processes on the loopback interface.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use cretoai_node::client::{Answer, Client};
use serde_json::Value;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cretoai-node");

/// Whatever does not happen within this time does not happen at all. Machines that build something else meanwhile are
/// slow.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A folder that is removed in the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cretoai-{name}-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().expect("the program runs")
}

/// A process that is killed when it is forgotten.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn spawn(args: &[&str], output: &Path) -> Self {
        Self::run(PROGRAM, args, output)
    }

    fn run(program: &str, args: &[&str], output: &Path) -> Self {
        let file = fs::File::create(output).expect("a writable folder");
        let errors = fs::File::create(output.with_extension("err")).expect("a writable folder");
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(file).stderr(errors);
        Self(command.spawn().expect("the program runs"))
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status().expect("`kill` is there");
        assert!(sent.success(), "the process is still there");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status;
            }
            assert!(start.elapsed() < within, "the process runs on after {within:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The files of a chain, with the processes of its replicas.
pub(crate) struct Cluster {
    pub(crate) folder: Folder,
    processes: Vec<Option<Process>>,
}

impl Cluster {
    /// Writes the files of a chain of four.
    pub(crate) fn new(name: &str, scheme: &str) -> Self {
        let folder = Folder::new(name);
        let out = folder.file("net");
        let args = ["testnet", "--scheme", scheme, "--base-port", "0", "--out", &out.to_string_lossy()];
        let made = run(&args);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { folder, processes: (0..4).map(|_| None).collect() }
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

    pub(crate) fn start(&mut self, id: usize, more: &[&str]) {
        let config = self.config(id);
        let config = config.to_string_lossy();
        let mut args = vec!["start", "--config", &config];
        args.extend(more);
        self.processes[id] = Some(Process::spawn(&args, &self.folder.file(&format!("node{id}.out"))));
    }

    /// Starts a replica that can write no file beyond this many blocks of 512 bytes.
    pub(crate) fn start_with_file_limit(&mut self, id: usize, blocks: u32) {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let config = self.config(id);
        let args = ["-c", &script, PROGRAM, "start", "--config", &config.to_string_lossy()];
        self.processes[id] = Some(Process::run("sh", &args, &self.folder.file(&format!("node{id}.out"))));
    }

    pub(crate) fn start_all(&mut self) {
        (0..4).for_each(|id| self.start(id, &[]));
    }

    pub(crate) fn process(&mut self, id: usize) -> &mut Process {
        self.processes[id].as_mut().expect("it was started")
    }

    /// Ends a process without warning.
    pub(crate) fn kill(&mut self, id: usize) {
        self.processes[id] = None;
    }

    /// Stops all as an operator does, and expects them to obey.
    pub(crate) async fn stop_all(&mut self) {
        for process in self.processes.iter().flatten() {
            process.signal("-TERM");
        }
        for process in &mut self.processes {
            let Some(process) = process else { continue };
            let status = process.ended(Duration::from_secs(5)).await;
            assert_eq!(status.code(), Some(0), "after SIGTERM");
        }
        self.processes.iter_mut().for_each(|process| *process = None);
    }

    pub(crate) async fn all_ready(&self) {
        for id in 0..4 {
            self.ready(id).await;
        }
    }

    pub(crate) async fn ready(&self, id: usize) {
        let url = self.api(id);
        let log = self.folder.file(&format!("node{id}.err"));
        let is_ready = async || get(&url, "/health/ready").await.filter(|answer| answer.status.is_success());
        let what = format!("replica {id} is ready");
        until(&what, is_ready, || fs::read_to_string(&log).unwrap_or_default()).await;
    }

    pub(crate) async fn status(&self, id: usize) -> Value {
        let url = self.api(id);
        let ask = async || get(&url, "/v1/status").await.filter(|answer| answer.status.is_success());
        until("a status", ask, String::new).await.json()
    }

    /// Puts a key through a replica, and waits until that is final.
    pub(crate) async fn put(&self, id: usize, key: &str, value: &str) {
        let body = format!(r#"{{"wait":"finalized","request":{{"put":{{"key":"{key}","value":"{value}"}}}}}}"#);
        let answer = post(&self.api(id), "/v1/requests", "application/json", body.as_bytes()).await;
        assert_eq!(answer.json()["results"][0]["outcome"], "executed", "{}", answer.text());
    }

    /// Waits until a replica shows a value.
    pub(crate) async fn shows(&self, id: usize, key: &str, value: &str) {
        let (url, path) = (self.api(id), format!("/v1/kv/{key}"));
        let shown = async || get(&url, &path).await.filter(|answer| answer.json()["value"]["text"] == value);
        until(&format!("replica {id} shows {key} = {value}"), shown, String::new).await;
    }
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
