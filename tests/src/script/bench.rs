//! One replica, its disk and its application, driven line by line.

use super::show;
use super::spell::{self, Words};
use super::world::{Own, World, app_chunk, duration, number, replica};
use cretoai_core::Input;
use cretoai_core::Outbox;
use cretoai_core::bytes::Bytes;
use cretoai_core::config::{Config, Timeouts};
use cretoai_core::hash::Digest;
use cretoai_core::ledger::{CoreSnapshot, Ledger, chunk_hash};
use cretoai_core::message::{Message, ViewChangeMessage};
use cretoai_core::outbox::{Execution, Task};
use cretoai_core::record::Record;
use cretoai_core::replica::{OwnSnapshot, Replica};
use cretoai_core::time::{Duration, Instant};
use cretoai_core::types::{Lsn, ReplicaId, Slot};
use cretoai_core::verify::Verified;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A replica on a bench.
///
/// By default every record is durable at once and each line says what it waited for; after `disk slow`, records wait
/// for `durable`. Likewise the application waits for `executed` and `snapshot`, unless the script says `app auto`.
#[derive(Debug)]
pub(crate) struct Bench {
    world: World,
    id: ReplicaId,
    replica: Option<Replica>,
    out: Outbox,
    now: Instant,
    /// What survives a crash.
    disk: Vec<Record>,
    snapshot: Option<OwnSnapshot>,
    written: VecDeque<(Lsn, Record)>,
    durable: Lsn,
    is_disk_slow: bool,
    is_app_auto: bool,
    is_quiet: bool,
    executing: VecDeque<Execution>,
    fixing: Option<Arc<CoreSnapshot>>,
    decided: BTreeMap<Slot, Digest>,
    /// The same order, finalized again to see the verdicts.
    shadow: Ledger,
    frozen: Option<Arc<ViewChangeMessage>>,
    made: usize,
    lines: Vec<String>,
}

impl Bench {
    /// A replica of a committee, at genesis and after its first tick.
    pub(crate) fn new(id: ReplicaId, n: u16) -> Result<Self, String> {
        let world = World::new(n)?;
        let mut bench = Self {
            id,
            replica: None,
            out: Outbox::default(),
            now: Instant::GENESIS,
            disk: Vec::new(),
            snapshot: None,
            written: VecDeque::new(),
            durable: Lsn(0),
            is_disk_slow: false,
            is_app_auto: false,
            is_quiet: false,
            executing: VecDeque::new(),
            fixing: None,
            decided: BTreeMap::new(),
            shadow: Ledger::new(world.chain.clone()),
            frozen: None,
            made: 0,
            lines: Vec::new(),
            world,
        };
        bench.replica = Some(Replica::new(bench.world.chain.clone(), bench.config(), bench.signer()?));
        bench.step(Input::Tick)?;
        bench.lines.clear();
        Ok(bench)
    }

    fn config(&self) -> Config {
        Config::new(self.id, &self.world.chain, Timeouts::from_base(Duration::from_millis(400)))
    }

    fn signer(&self) -> Result<Box<Own>, String> {
        Ok(Box::new(Own(self.world.pen(self.id, &BTreeMap::new())?)))
    }

    /// What happened since it was asked for last, and where the replica is now.
    pub(crate) fn report(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.lines);
        let Some(replica) = &mut self.replica else {
            lines.push(format!("{}: down", self.id));
            return lines;
        };
        let target = replica.target().map_or(String::new(), |target| format!(" -> {target}"));
        let mut line =
            format!("{}: {}{target} h={} exec={}", self.id, replica.view(), replica.stable(), replica.executed());
        if let Some(halt) = replica.halted() {
            line.push_str(&format!(" halted: {halt:?}"));
        }
        if replica.has_diverged() {
            line.push_str(" diverged");
        }
        if replica.is_transferring() {
            line.push_str(" transferring");
        }
        lines.push(line);
        lines
    }

    /// Carries out one line of a script.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), String> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = Words::new(rest);
        let (plain, options) = (&words.plain, &words.options);
        let first = || plain.first().copied().ok_or_else(|| format!("{command} of what?"));
        match command {
            "request" => self.world.define_request(first()?, options),
            "vertex" => self.world.define_vertex(first()?, self.now, options),
            "batch" => self.world.define_batch(first()?, &plain[2.min(plain.len())..], self.now, options),
            "state" => self.world.define_state(first()?, &plain[2.min(plain.len())..]),
            "let" => {
                let (name, spec) = rest.split_once(" = ").ok_or("let x = r3 ViewChange v1")?;
                let message = spell::message(&mut self.world, &Words::new(spec))?;
                self.world.messages.insert(name.to_owned(), message);
                Ok(())
            }
            "deliver" => self.deliver(&words),
            "repeat" => self.repeat(rest),
            "submit" => self.submit(plain),
            "at" => self.at(first()?),
            "tick" => self.step(Input::Tick),
            "wait" => self.wait(),
            "disk" => {
                self.is_disk_slow = first()? == "slow";
                Ok(())
            }
            "app" => {
                self.is_app_auto = first()? == "auto";
                Ok(())
            }
            "durable" => self.durable(plain.first().copied()),
            "executed" => self.executed(Slot(number(first()?)?)),
            "snapshot" => self.snapshot(Slot(number(first()?)?), plain.get(1).copied()),
            "crash" => self.crash(),
            "restart" => self.restart(plain.first().copied()),
            other => Err(format!("{other} is no command")),
        }
    }

    fn at(&mut self, time: &str) -> Result<(), String> {
        let at = Instant::GENESIS + duration(time)?;
        if at < self.now {
            return Err(format!("it is {} already", self.now));
        }
        self.now = at;
        Ok(())
    }

    fn deliver(&mut self, words: &Words<'_>) -> Result<(), String> {
        let named = words.plain.first().and_then(|name| self.world.messages.get(*name)).cloned();
        let message = named.map_or_else(|| spell::message(&mut self.world, words), Ok)?;
        let signer = words.plain.first().and_then(|word| replica(word).ok()).unwrap_or_default();
        let link = words.options.get("via").map_or(Ok(signer), |link| replica(link))?;
        match self.world.verifier.message(message) {
            Ok(message) => self.step(Input::Message(link, &message)),
            Err(rejected) => {
                self.say(format!("rejected: {}", self.world.with_names(&rejected.to_string())));
                Ok(())
            }
        }
    }

    /// `repeat 500 deliver ...`: says nothing of what comes out.
    fn repeat(&mut self, rest: &str) -> Result<(), String> {
        let (times, line) = rest.split_once(' ').ok_or("repeat 5 deliver ...")?;
        self.is_quiet = true;
        let done = (0..number(times)?).try_for_each(|_| self.line(line));
        self.is_quiet = false;
        done
    }

    fn submit(&mut self, names: &[&str]) -> Result<(), String> {
        let requests = names.iter().map(|name| self.world.request(name)).collect::<Result<Vec<_>, _>>()?;
        let verify = |request| self.world.verifier.request(request);
        let requests: Result<Vec<Verified<_>>, _> = requests.into_iter().map(verify).collect();
        let requests = requests.map_err(|rejected| rejected.to_string())?;
        self.step(Input::Requests(&requests))
    }

    /// Ticks when the replica wants it next.
    fn wait(&mut self) -> Result<(), String> {
        let deadline = self.replica.as_mut().ok_or("the replica is down")?.deadline();
        self.now = self.now.max(deadline.ok_or("there is no deadline")?);
        self.say(format!("it is {}", self.now));
        self.step(Input::Tick)
    }

    fn step(&mut self, input: Input<'_>) -> Result<(), String> {
        let replica = self.replica.as_mut().ok_or("the replica is down")?;
        if let Err(ignored) = replica.step(self.now, input, &mut self.out) {
            self.say(format!("ignored: {ignored:?}"));
        }
        self.collect()
    }

    fn say(&mut self, line: String) {
        if !self.is_quiet {
            self.lines.push(line);
        }
    }

    fn collect(&mut self) -> Result<(), String> {
        let records: Vec<_> = self.out.take_records().collect();
        for (lsn, record) in records {
            self.take_names(&record);
            self.say(format!("record {lsn}: {}", self.world.show_record(&record)));
            self.written.push_back((lsn, record));
        }
        while let Some(found) = self.out.next_evidence() {
            self.say(format!("evidence {}", show::evidence(&found)));
        }
        self.release()?;
        if self.is_disk_slow { Ok(()) } else { self.durable(None) }
    }

    /// What the replica makes itself gets a name when it is first recorded.
    fn take_names(&mut self, record: &Record) {
        match record {
            Record::OwnVertex(vertex) if !self.world.is_named(vertex.id()) => {
                self.made += 1;
                let name = format!("own{}", self.made);
                self.world.name(vertex.id(), &name);
                self.world.vertices.insert(name, vertex.clone());
            }
            Record::Batch(_, batch) if !self.world.is_named(batch.digest()) => {
                self.made += 1;
                let name = format!("OWN{}", self.made);
                self.world.name(batch.digest(), &name);
                self.world.batches.insert(name, batch.clone());
            }
            Record::Committed(certificate) => {
                self.decided.insert(certificate.claim.slot, certificate.claim.digest);
            }
            Record::ViewChangeSent(message) => {
                self.frozen = None;
                self.world.messages.insert("own".to_owned(), Message::ViewChange(message.clone()));
            }
            _ => {}
        }
    }

    fn durable(&mut self, upto: Option<&str>) -> Result<(), String> {
        let upto = upto.map_or(Ok(u64::MAX), number)?;
        while let Some((lsn, record)) = self.written.pop_front_if(|(lsn, _)| lsn.0 <= upto) {
            self.disk.push(record);
            self.durable = lsn;
            self.out.mark_durable(lsn);
            self.release()?;
        }
        Ok(())
    }

    /// Lets out what waits for nothing any more.
    fn release(&mut self) -> Result<(), String> {
        while let Some(envelope) = self.out.next_send() {
            let when =
                if envelope.message.is_gated() { format!("after {}", self.durable) } else { "at once".to_owned() };
            let same = self.compare_with_frozen(&envelope.message);
            let what = self.world.show_message(&envelope.message);
            self.say(format!("send {when} to {}: {what}{same}", show::target(envelope.to)));
        }
        while let Some(task) = self.out.next_task() {
            let verdicts = self.verdicts(&task);
            self.say(format!("task after {}: {}{verdicts}", self.durable, self.world.show_task(&task)));
            self.take_task(task)?;
        }
        Ok(())
    }

    /// Whether a VIEW-CHANGE of this replica is the same, signature included, as the one sent before.
    fn compare_with_frozen(&mut self, message: &Message) -> &'static str {
        let Message::ViewChange(sent) = message else { return "" };
        if sent.signed.signer != self.id {
            return "";
        }
        match &self.frozen {
            Some(frozen) if frozen.signed == sent.signed => " (same bytes as before)",
            Some(_) => " (OTHER bytes than before)",
            None => {
                self.frozen = Some(sent.clone());
                ""
            }
        }
    }

    fn verdicts(&mut self, task: &Task) -> String {
        let Task::Execute(Execution { slot, .. }) = task else { return String::new() };
        let batch = self.decided.get(slot).and_then(|digest| self.world.batches.get(&self.world.name_of(*digest)));
        let world = &self.world;
        let done = self.shadow.finalize(*slot, batch.map(|batch| &**batch), |id| world.vertex_by_id(*id));
        let verdict = |(id, verdict)| format!(" {} {verdict:?}", world.name_of(id));
        let verdicts: Vec<String> = done.verdicts.into_iter().map(verdict).collect();
        if verdicts.is_empty() { " of NULL".to_owned() } else { format!(" of{}", verdicts.join(",")) }
    }

    fn take_task(&mut self, task: Task) -> Result<(), String> {
        match task {
            Task::Execute(execution) => {
                let slot = execution.slot;
                self.executing.push_back(execution);
                if self.is_app_auto { self.executed(slot) } else { Ok(()) }
            }
            Task::Snapshot(core) => {
                let slot = core.slot;
                self.fixing = Some(core);
                if self.is_app_auto { self.snapshot(slot, None) } else { Ok(()) }
            }
            Task::Restore(core, chunks) => {
                let app = chunks.iter().map(|chunk| chunk_hash(&chunk.0)).collect();
                self.shadow = Ledger::restore(self.world.chain.clone(), &core).map_err(|error| error.to_string())?;
                self.executing.clear();
                self.snapshot = Some(OwnSnapshot { core, app });
                Ok(())
            }
            Task::ServeChunk(..) | Task::Reply(_) | Task::DropSnapshots(_) => Ok(()),
        }
    }

    fn executed(&mut self, slot: Slot) -> Result<(), String> {
        let execution = self.executing.pop_front_if(|execution| execution.slot == slot);
        let execution = execution.ok_or_else(|| format!("{slot} is not being executed"))?;
        let results = vec![Bytes(b"done".to_vec()); execution.requests.len()];
        self.step(Input::Executed(slot, results))
    }

    /// `snapshot s4`: it is durable. `wrong`: with a state that no other application has. `unsaid`: it is durable,
    /// but the replica crashes before it learns of it.
    fn snapshot(&mut self, slot: Slot, how: Option<&str>) -> Result<(), String> {
        let core =
            self.fixing.take_if(|core| core.slot == slot).ok_or_else(|| format!("no snapshot of {slot} is due"))?;
        let is_wrong = how == Some("wrong");
        let chunk = if is_wrong { Bytes(b"bit flip".to_vec()) } else { app_chunk(slot) };
        let app = vec![chunk_hash(&chunk.0)];
        if is_wrong {
            self.world.name(core.manifest(app.clone()).state(), "WRONG");
        }
        self.snapshot = Some(OwnSnapshot { core, app: app.clone() });
        if how == Some("unsaid") { Ok(()) } else { self.step(Input::SnapshotDurable(slot, app)) }
    }

    /// Whatever is not durable is lost.
    fn crash(&mut self) -> Result<(), String> {
        self.replica.take().map(|_| ()).ok_or("the replica is down already")?;
        self.written.clear();
        self.executing.clear();
        self.fixing = None;
        self.out = Outbox::resume_at(self.durable);
        Ok(())
    }

    /// `cut`: the end of the log was cut off.
    fn restart(&mut self, how: Option<&str>) -> Result<(), String> {
        let chain = self.world.chain.clone();
        self.shadow = match &self.snapshot {
            Some(own) => Ledger::restore(chain.clone(), &own.core).map_err(|error| error.to_string())?,
            None => Ledger::new(chain.clone()),
        };
        let replica = Replica::recover(chain, self.config(), self.signer()?, self.snapshot.clone(), self.disk.clone());
        let mut replica = replica.map_err(|error| error.to_string())?;
        if how == Some("cut") {
            replica.distrust_log();
        }
        self.replica = Some(replica);
        Ok(())
    }
}
