//! What a script has names for, and signatures that it can make as anyone.

use cretoai_core::batch::{Batch, HashedBatch, NULL_BATCH};
use cretoai_core::bytes::Bytes;
use cretoai_core::config::{Chain, Genesis, Scheme};
use cretoai_core::hash::{Digest, Domain, hash};
use cretoai_core::hashed::Hashed;
use cretoai_core::ledger::{CoreSnapshot, Fate, Ledger, Manifest, chunk_hash};
use cretoai_core::message::{Message, Signed, ViewChange};
use cretoai_core::reply::result_hash;
use cretoai_core::request::{Caller, ClientRequest, Request, RequestId};
use cretoai_core::signature::{Signature, SignatureVerifier, Signer, SigningContext, Statement};
use cretoai_core::time::{Duration, Instant};
use cretoai_core::types::{Height, ReplicaId, Slot};
use cretoai_core::verify::Verifier;
use cretoai_core::vertex::{Link, Payload, Reference, SignedVertex, Vertex};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A state that a quorum may certify: a snapshot and the chunk of the application.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) core: CoreSnapshot,
    pub(crate) app: Arc<Bytes>,
}

impl State {
    pub(crate) fn manifest(&self) -> Manifest {
        self.core.manifest(vec![chunk_hash(&self.app.0)])
    }
}

/// The one chunk of the application's snapshot: a function of the slot, so that every state is known in advance.
pub(crate) fn app_chunk(slot: Slot) -> Bytes {
    Bytes(format!("application after {slot}").into_bytes())
}

/// Everything that a script has given a name to.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) chain: Arc<Chain>,
    pub(crate) verifier: Verifier,
    pub(crate) vertices: BTreeMap<String, Arc<SignedVertex>>,
    pub(crate) batches: BTreeMap<String, Arc<HashedBatch>>,
    pub(crate) requests: BTreeMap<String, Arc<ClientRequest>>,
    pub(crate) states: BTreeMap<String, State>,
    pub(crate) messages: BTreeMap<String, Message>,
    names: BTreeMap<Digest, String>,
    made_up: u64,
}

/// How a signature is made, or spoilt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pen {
    /// Whose key it is.
    pub(crate) key: ReplicaId,
    /// Whom the message names as its signer.
    pub(crate) named: ReplicaId,
    pub(crate) context: SigningContext,
    /// Any salt gives a valid signature, as with randomized schemes.
    pub(crate) salt: u8,
    pub(crate) is_bad: bool,
}

impl Pen {
    pub(crate) fn sign<T>(&self, body: T, statement: impl FnOnce(&T) -> Statement<'_>) -> Signed<T> {
        let signature = self.signature(statement(&body));
        Signed { signer: self.named, body, signature }
    }

    pub(crate) fn signature(&self, statement: Statement<'_>) -> Signature {
        let mut bytes = tag(self.context, self.key, statement, self.salt);
        if self.is_bad {
            bytes[0] ^= 1;
        }
        Signature::new(&bytes)
    }
}

/// Fifteen bytes that depend on the key and the statement, and one that depends on nothing.
fn tag(context: SigningContext, key: ReplicaId, statement: Statement<'_>, salt: u8) -> [u8; 16] {
    let digest = hash(Domain::Listed, &statement.signing_bytes(context, key));
    let mut tag = [salt; 16];
    tag[..15].copy_from_slice(&digest.0[..15]);
    tag
}

/// The replica's own signer.
#[derive(Debug)]
pub(crate) struct Own(pub(crate) Pen);

impl Signer for Own {
    fn sign(&self, statement: Statement<'_>) -> Signature {
        self.0.signature(statement)
    }
}

/// Checks everybody's tags.
#[derive(Debug)]
struct Glasses(SigningContext);

impl SignatureVerifier for Glasses {
    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
        let right = tag(self.0, signer, statement, 0);
        signature.bytes().len() == 16 && signature.bytes()[..15] == right[..15]
    }

    fn verify_caller(&self, _: &Caller, _: RequestId, _: &Signature) -> bool {
        false
    }
}

fn genesis(name: &str, n: u16) -> Genesis {
    let keys = (0..n).map(|id| id.to_be_bytes().to_vec()).collect();
    let mut genesis = Genesis::new(name, Scheme::Simulated, keys);
    (genesis.checkpoint_interval, genesis.window) = (4, 8);
    genesis
}

/// The `key=value` words of a line.
pub(crate) type Options<'a> = BTreeMap<&'a str, &'a str>;

impl World {
    pub(crate) fn new(n: u16) -> Result<Self, String> {
        let chain = Chain::new(genesis("scripts", n), false).map_err(|error| error.to_string())?;
        let chain = Arc::new(chain);
        let context = SigningContext { chain: chain.id, epoch: 0 };
        let mut names = BTreeMap::new();
        names.insert(NULL_BATCH, "NULL".to_owned());
        names.insert(chain.id, "genesis".to_owned());
        Ok(Self {
            verifier: Verifier::new(chain.clone(), Arc::new(Glasses(context))),
            vertices: BTreeMap::new(),
            batches: BTreeMap::new(),
            requests: BTreeMap::new(),
            states: BTreeMap::new(),
            messages: BTreeMap::new(),
            chain,
            names,
            made_up: 0,
        })
    }

    /// The pen of a replica, changed as the options of a line say.
    pub(crate) fn pen(&self, key: ReplicaId, options: &Options<'_>) -> Result<Pen, String> {
        let chain = match options.get("chain") {
            Some(_) => genesis("another chain", self.chain.committee.n()).chain_id(),
            None => self.chain.id,
        };
        let epoch = options.get("epoch").map_or(Ok(0), |epoch| number(epoch))?;
        let named = options.get("named").map_or(Ok(key), |named| replica(named))?;
        let (salt, is_bad) = match options.get("sig").copied() {
            None => (0, false),
            Some("bad") => (0, true),
            Some(salt) => (u8::try_from(number(salt)?).map_err(|_| "a salt is a byte")?, false),
        };
        Ok(Pen { key, named, context: SigningContext { chain, epoch }, salt, is_bad })
    }

    /// Names a digest. A name means what it was given to last.
    pub(crate) fn name(&mut self, digest: Digest, name: &str) {
        self.names.retain(|_, known| known != name);
        self.names.insert(digest, name.to_owned());
    }

    pub(crate) fn is_named(&self, digest: Digest) -> bool {
        self.names.contains_key(&digest)
    }

    pub(crate) fn name_of(&self, digest: Digest) -> String {
        self.names.get(&digest).cloned().unwrap_or_else(|| format!("{digest:?}"))
    }

    /// A text of the core, with names in the place of digests.
    pub(crate) fn with_names(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (digest, name)| text.replace(&format!("{digest:?}"), name))
    }

    /// A digest by name: of a vertex, batch or state, or of nothing if the name begins with `?`. A lone `?` is
    /// another one each time.
    pub(crate) fn digest(&mut self, name: &str) -> Result<Digest, String> {
        if name.starts_with('?') {
            self.made_up += 1;
            let unique = if name == "?" { format!("?{}", self.made_up) } else { name.to_owned() };
            let digest = hash(Domain::Node, unique.as_bytes());
            self.name(digest, &unique);
            return Ok(digest);
        }
        let known = self.names.iter().find(|(_, known)| *known == name).map(|(digest, _)| *digest);
        known.ok_or_else(|| format!("nothing is called {name}"))
    }

    pub(crate) fn vertex(&self, name: &str) -> Result<&Arc<SignedVertex>, String> {
        self.vertices.get(name).ok_or_else(|| format!("no vertex is called {name}"))
    }

    pub(crate) fn batch(&self, name: &str) -> Result<&Arc<HashedBatch>, String> {
        self.batches.get(name).ok_or_else(|| format!("no batch is called {name}"))
    }

    pub(crate) fn state(&self, name: &str) -> Result<&State, String> {
        self.states.get(name).ok_or_else(|| format!("no state is called {name}"))
    }

    /// `request x expires=5s`
    pub(crate) fn define_request(&mut self, name: &str, options: &Options<'_>) -> Result<(), String> {
        let expires = options.get("expires").map_or(Ok(Duration::from_secs(20)), |span| duration(span))?;
        let mut nonce = [0; 16];
        let digest = hash(Domain::Listed, options.get("nonce").unwrap_or(&name).as_bytes());
        nonce.copy_from_slice(&digest.0[..16]);
        let op = Bytes(name.as_bytes().to_vec());
        let chain_id = self.chain.id;
        let request = Request { chain_id, expires: Instant::GENESIS + expires, nonce, caller: None, op };
        let request = Arc::new(ClientRequest::anonymous(request));
        self.name(request.id(), name);
        self.requests.insert(name.to_owned(), request);
        Ok(())
    }

    /// `vertex a by=r1 prev=b refs=c,d requests=x,y height=7`: one request of its own unless it says which.
    pub(crate) fn define_vertex(&mut self, name: &str, now: Instant, options: &Options<'_>) -> Result<(), String> {
        let author = replica(options.get("by").ok_or("a vertex has an author: by=r1")?)?;
        let prev = match options.get("prev") {
            Some(prev) if prev.starts_with('?') => Link { height: Height(9), id: self.digest(prev)? },
            Some(prev) => link(self.vertex(prev)?),
            None => Link::genesis(self.chain.id),
        };
        let parents = options.get("refs").map_or(Vec::new(), |refs| refs.split(',').collect());
        let mut refs = Vec::new();
        for parent in parents {
            let parent = self.vertex(parent)?;
            let Link { height, id } = link(parent);
            refs.push(Reference { author: parent.author(), height, id });
        }
        let own = format!("{name}1");
        let requests = options.get("requests").copied().unwrap_or(&own);
        if !options.contains_key("requests") {
            self.define_request(&own, options)?;
        }
        let payload = requests.split(',').map(|request| self.request(request)).collect::<Result<Vec<_>, _>>()?;
        let payload = Payload::Requests(payload);
        let mut vertex = Vertex { author, height: Height(0), ts: now, prev, refs, payload };
        vertex.height = options.get("height").map_or(Ok(vertex.due_height()), |height| number(height).map(Height))?;
        let pen = self.pen(author, options)?;
        let vertex = Arc::new(pen.sign(Hashed::new(vertex), |vertex| Statement::Vertex(vertex.digest())));
        self.name(vertex.id(), name);
        self.vertices.insert(name.to_owned(), vertex);
        Ok(())
    }

    pub(crate) fn request(&self, name: &str) -> Result<Arc<ClientRequest>, String> {
        self.requests.get(name).cloned().ok_or_else(|| format!("no request is called {name}"))
    }

    /// `batch A = a b at=10ms`
    pub(crate) fn define_batch(
        &mut self,
        name: &str,
        listed: &[&str],
        now: Instant,
        options: &Options<'_>,
    ) -> Result<(), String> {
        let ts = options.get("at").map_or(Ok(now), |at| duration(at).map(|at| Instant::GENESIS + at))?;
        let vertices = listed.iter().map(|vertex| self.digest(vertex)).collect::<Result<_, _>>()?;
        let batch = Arc::new(Hashed::new(Batch { ts, vertices }));
        self.name(batch.digest(), name);
        self.batches.insert(name.to_owned(), batch);
        Ok(())
    }

    /// `state S = A B NULL C`: the state after these batches, from slot 1 on.
    pub(crate) fn define_state(&mut self, name: &str, batches: &[&str]) -> Result<(), String> {
        let mut ledger = Ledger::new(self.chain.clone());
        for (slot, batch) in (1..).map(Slot).zip(batches) {
            let batch = if *batch == "NULL" { None } else { Some(self.batch(batch)?.clone()) };
            let done = ledger.finalize(slot, batch.as_deref(), |id| self.vertex_by_id(*id));
            for listed in done.fates.iter().filter(|listed| listed.fate == Fate::Executes) {
                ledger.complete(listed, result_hash(b"done"));
            }
        }
        let app = Arc::new(app_chunk(ledger.slot()));
        let state = State { core: ledger.snapshot(), app };
        self.name(state.manifest().state(), name);
        for (number, hash) in state.manifest().core.iter().enumerate() {
            self.name(*hash, &format!("{name}.core{number}"));
        }
        self.name(state.manifest().app[0], &format!("{name}.app"));
        self.states.insert(name.to_owned(), state);
        Ok(())
    }

    /// A vertex that was named, or made by the replica.
    pub(crate) fn vertex_by_id(&self, id: Digest) -> &Arc<SignedVertex> {
        let found = self.vertices.values().find(|vertex| vertex.id() == id);
        found.unwrap_or_else(|| panic!("a vertex without a name: {id:?}"))
    }

    /// A VIEW-CHANGE by name.
    pub(crate) fn view_change(&self, name: &str) -> Result<Arc<Signed<ViewChange>>, String> {
        match self.messages.get(name) {
            Some(Message::ViewChange(message)) => Ok(message.signed.clone()),
            _ => Err(format!("no VIEW-CHANGE is called {name}")),
        }
    }
}

fn link(vertex: &SignedVertex) -> Link {
    Link { height: vertex.body.height, id: vertex.id() }
}

/// `r3`
pub(crate) fn replica(word: &str) -> Result<ReplicaId, String> {
    let id = word.strip_prefix('r').and_then(|id| id.parse().ok());
    id.map(ReplicaId).ok_or_else(|| format!("{word} is not a replica, as r3 is"))
}

/// A number, perhaps behind a letter: `s1`, `v0`, `7`, `vMAX`, `v2^63`.
pub(crate) fn number(word: &str) -> Result<u64, String> {
    match word.trim_start_matches(|c: char| c.is_ascii_lowercase()) {
        "MAX" => Ok(u64::MAX),
        "2^32+1" => Ok((1 << 32) + 1),
        "2^63" => Ok(1 << 63),
        digits => digits.parse().map_err(|_| format!("{word} is not a number")),
    }
}

/// `400ms`, `5s`, `1h`
pub(crate) fn duration(word: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("h", 3_600_000)];
    let millis = units.iter().find_map(|(unit, millis)| {
        let amount: u64 = word.strip_suffix(unit)?.parse().ok()?;
        Some(amount * millis)
    });
    millis.map(Duration::from_millis).ok_or_else(|| format!("{word} is not a time, as 400ms is"))
}
