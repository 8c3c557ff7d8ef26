//! Processes and folders that are gone when they are forgotten.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cretoai-node");

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
        if std::env::var_os("CRETOAI_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().expect("the program runs")
}

/// A process with all that it starts, killed when it is forgotten.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn spawn(args: &[&str], output: &Path) -> Self {
        Self::spawn_under(&[], args, output)
    }

    /// Runs the program under another one, to which it is given as an argument with its own ones.
    pub(crate) fn spawn_under(prefix: &[&str], args: &[&str], output: &Path) -> Self {
        let line: Vec<&str> = prefix.iter().chain(&[PROGRAM]).chain(args).copied().collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).stdin(Stdio::null());
        command.stdout(appended(output)).stderr(appended(&output.with_extension("err")));
        Self(command.process_group(0).spawn().unwrap_or_else(|error| panic!("{line:?}: {error}")))
    }

    /// Sends a signal to the process and all that it started. Whether any of them was still there.
    pub(crate) fn signal(&self, name: &str) -> bool {
        let group = format!("-{}", self.0.id());
        let sent = Command::new("kill").args([name, "--", &group]).output().expect("`kill` is there");
        sent.status.success()
    }

    /// How it ended, if it did.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child")
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.status() {
                return status;
            }
            assert!(start.elapsed() < within, "the process runs on after {within:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended and was waited for leaves its number to others.
        if self.status().is_some() {
            return;
        }
        self.signal("-KILL");
        let _ = self.0.wait();
        // What it started is waited for by others, and holds ports and files until it is gone.
        let start = Instant::now();
        while self.signal("-0") && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn appended(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("a writable folder")
}
