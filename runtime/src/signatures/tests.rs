//! Every suite against itself, against the other of its scheme, and against published vectors.

use super::*;
use aws_lc_rs::digest::{SHA256, digest};
use cretoai_core::config::Genesis;
use cretoai_core::hash::Digest;
use cretoai_core::types::{Slot, View};
use cretoai_core::vote::{Phase, Vote};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use zeroize::Zeroizing;

fn keys(scheme: Scheme, seed: u8) -> Keys {
    Keys::from_seed(scheme, Zeroizing::new([seed; 32])).expect("a real scheme")
}

fn chain_named(name: &str, scheme: Scheme) -> Chain {
    let public = (0..4).map(|id| keys(scheme, id).public().to_vec()).collect();
    Chain::new(Genesis::new(name, scheme, public), false).expect("a good genesis")
}

fn vote(phase: Phase, slot: u64) -> Vote {
    Vote::one(phase, View(0), Slot(slot), Digest([7; 32]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cretoai-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for a test");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn accepts_its_own_and_nothing_else<S: Suite, V: Suite>() {
    let chain = chain_named("one", S::SCHEME);
    let signer = signer_by::<S>(&keys(S::SCHEME, 1), context(&chain), ReplicaId(1));
    let verifier = verifier_by::<V>(&chain).expect("good keys");
    let prepare = vote(Phase::Prepare, 5);
    let signature = signer.sign(Statement::Vote(&prepare));
    assert_eq!(signature.bytes().len(), S::SCHEME.signature_bytes());
    let check =
        |id, vote: &Vote, signature: &Signature| verifier.verify(ReplicaId(id), Statement::Vote(vote), signature);
    assert!(check(1, &prepare, &signature), "the right one");
    assert!(!check(0, &prepare, &signature), "another signer");
    assert!(!check(9, &prepare, &signature), "no member");
    assert!(!check(1, &vote(Phase::Prepare, 6), &signature), "another slot");
    assert!(!check(1, &vote(Phase::Commit, 5), &signature), "another kind");
    assert!(!check(1, &prepare, &Signature::new(&[0; 16])), "rubbish");
    assert!(!check(1, &prepare, &Signature::new(&vec![0; S::SCHEME.signature_bytes()])), "zeros");
    assert!(!check(1, &prepare, &Signature::new(&signature.bytes()[1..])), "too short");
    for at in [0, 40, signature.bytes().len() - 1] {
        let mut bytes = signature.bytes().to_vec();
        bytes[at] ^= 1;
        assert!(!check(1, &prepare, &Signature::new(&bytes)), "bit {at} flipped");
    }
    let elsewhere = verifier_by::<V>(&chain_named("two", S::SCHEME)).expect("good keys");
    assert!(!elsewhere.verify(ReplicaId(1), Statement::Vote(&prepare), &signature), "another chain");
    let later = SigningContext { epoch: EPOCH + 1, ..context(&chain) };
    let signature = signer_by::<S>(&keys(S::SCHEME, 1), later, ReplicaId(1)).sign(Statement::Vote(&prepare));
    assert!(!check(1, &prepare, &signature), "another epoch");
}

#[test]
fn every_suite_accepts_its_own_signatures_and_nothing_else() {
    accepts_its_own_and_nothing_else::<AwsLc, AwsLc>();
    accepts_its_own_and_nothing_else::<Portable, Portable>();
    accepts_its_own_and_nothing_else::<Ed25519, Ed25519>();
}

#[test]
fn the_two_suites_of_ml_dsa_accept_each_others_signatures() {
    accepts_its_own_and_nothing_else::<AwsLc, Portable>();
    accepts_its_own_and_nothing_else::<Portable, AwsLc>();
}

#[test]
fn the_two_suites_of_ml_dsa_derive_the_same_key_from_a_seed() {
    for seed in 0..8 {
        let seed = [seed; 32];
        assert_eq!(AwsLc::public_bytes(&AwsLc::expand(&seed)), Portable::public_bytes(&Portable::expand(&seed)));
    }
}

#[test]
fn a_signature_under_another_context_string_or_without_the_protocol_tag_is_wrong() {
    use fips204::traits::Signer as _;
    let chain = chain_named("one", Scheme::MlDsa87);
    let prepare = vote(Phase::Prepare, 5);
    let bytes = Statement::Vote(&prepare).signing_bytes(context(&chain), ReplicaId(1));
    let secret = Portable::expand(&[1; 32]);
    let sign = |bytes: &[u8], context: &[u8]| {
        Signature::new(&secret.try_sign_with_seed(&[0; 32], bytes, context).expect("a short context"))
    };
    let tag = cretoai_core::signature::PROTOCOL_TAG.as_bytes();
    let at = bytes.windows(tag.len()).position(|window| window == tag).expect("the tag is in the signed bytes");
    let mut retagged = bytes.clone();
    retagged[at] ^= 1;
    for verifier in [verifier_by::<AwsLc>(&chain), verifier_by::<Portable>(&chain)] {
        let verifier = verifier.expect("good keys");
        let check = |signature| verifier.verify(ReplicaId(1), Statement::Vote(&prepare), &signature);
        assert!(check(sign(&bytes, &[])));
        assert!(!check(sign(&bytes, b"cretoai")), "a context string");
        assert!(!check(sign(&retagged, &[])), "another tag");
        assert!(!check(sign(&bytes[at + tag.len()..], &[])), "no tag");
    }
}

/// Seeds and SHA-256 of public keys from the key generation vectors of NIST's ACVP (ML-DSA-keyGen-FIPS204, test cases
/// 51 to 54).
const KEY_GENERATION: [(&str, &str); 4] = [
    (
        "a16f5b0796703e2d1a0140a35cbf36efabe70e752ba59b6a9a0e9c4b05302f73",
        "33f49649f05ec2fc3b050007b18ade043bbc8d1c0ded03a269d540486daaa5f4",
    ),
    (
        "e46d458a660285930d9656a88d14e751730cae7a4975b6e4fbe69e80e3f01e7f",
        "f445cbb034fba125d17a8ac1be6ff617ddaca04a3e6b76ccf44e3dbc94cc7946",
    ),
    (
        "719bce87e014abdb6a0f77ea1c84eac7dd674d5b03b27ece154ba7fdde8a0458",
        "e0e816ae6f6cd0180674efd3191400694ab9a713e2b319de7f54ce9de45cf6ca",
    ),
    (
        "0cc745c7f94d826ec3a5db9f4b3c406dc717ffcacd83bb6156aef69ff1dd3e68",
        "499f549e8add76e6b8c0f7f67b0c08f866bf6e680f5c65b4fe91dc9493d0035b",
    ),
];

#[test]
fn published_seeds_give_the_published_keys() {
    for (seed, public) in KEY_GENERATION {
        let seed = unhex(seed).try_into().expect("32 bytes");
        assert_eq!(sha256(&AwsLc::public_bytes(&AwsLc::expand(&seed))), public, "AWS-LC");
        assert_eq!(sha256(&Portable::public_bytes(&Portable::expand(&seed))), public, "fips204");
    }
}

#[test]
fn the_deterministic_signature_of_a_published_vector_comes_out_and_both_suites_accept_it() {
    // Wycheproof, ML-DSA-87 signing from a seed, test case 1: the beginnings of the key and of the signature. The
    // SHA-256 of the whole is our own.
    let secret = Portable::expand(&[0x2a; 32]);
    let public = Portable::public_bytes(&secret);
    let signature = Portable::sign(&secret, b"Hello world");
    assert_eq!(hex(&public[..16]), "17a508179b35057099111733da28fd1a");
    assert_eq!(hex(&signature.bytes()[..16]), "ba4275ff54c22d2d09ea1937a0667362");
    assert_eq!(sha256(signature.bytes()), SIGNATURE_HASH);
    let verify = |message| {
        let fast = AwsLc::public(&public).expect("a key");
        let portable = Portable::public(&public).expect("a key");
        [AwsLc::verify(&fast, message, signature.bytes()), Portable::verify(&portable, message, signature.bytes())]
    };
    assert_eq!(verify(b"Hello world"), [true, true]);
    assert_eq!(verify(b"Hello World"), [false, false]);
}

const SIGNATURE_HASH: &str = "1ad45bd0419e694375bd38ec11d8e0c228ab9ffac2fce4adbe6218d9c949e293";

#[test]
fn ed25519_gives_the_first_vector_of_its_standard() {
    let seed = unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let secret = Ed25519::expand(&seed.try_into().expect("32 bytes"));
    let public = Ed25519::public_bytes(&secret);
    assert_eq!(hex(&public), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let signature = Ed25519::sign(&secret, b"");
    assert_eq!(hex(&signature.bytes()[..16]), "e5564300c360ac729086e2cc806e828a");
    assert!(Ed25519::verify(&Ed25519::public(&public).expect("a key"), b"", signature.bytes()));
}

#[test]
fn callers_of_both_schemes_sign_beside_replicas_of_either() {
    for scheme in [Scheme::MlDsa87, Scheme::Ed25519] {
        let verifier = verifier(&chain_named("one", scheme)).expect("good keys");
        for caller_scheme in [Scheme::MlDsa87, Scheme::Ed25519] {
            let client = keys(caller_scheme, 77);
            let id = Digest([3; 32]);
            let (caller, signature) = (client.caller(), client.sign_request(id));
            assert!(verifier.verify_caller(&caller, id, &signature), "{scheme:?} {caller_scheme:?}");
            assert!(!verifier.verify_caller(&caller, Digest([4; 32]), &signature), "another request");
            assert!(!verifier.verify_caller(&keys(caller_scheme, 78).caller(), id, &signature), "another caller");
            for other in [Scheme::MlDsa87, Scheme::Ed25519, Scheme::Simulated] {
                let renamed = Caller { scheme: other, ..caller.clone() };
                assert_eq!(verifier.verify_caller(&renamed, id, &signature), other == caller_scheme);
            }
        }
    }
}

#[test]
fn a_key_has_one_encoding() {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::signature::KeyPair;
    let secret = AwsLc::expand(&[1; 32]);
    let der = secret.public_key().as_der().expect("a key has an X.509 form");
    assert!(AwsLc::public(der.as_ref()).is_some(), "the library takes it");
    assert!(public::<AwsLc>(der.as_ref()).is_none());
    assert!(public::<AwsLc>(&AwsLc::public_bytes(&secret)[1..]).is_none());
    assert!(public::<Ed25519>(&[0; 32]).is_none(), "a point of small order");
}

#[test]
fn a_genesis_with_bad_or_shared_keys_is_refused_by_name() {
    let chain = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut public = (0..4).map(|id| keys(Scheme::Ed25519, id).public().to_vec()).collect();
        change(&mut public);
        Chain::new(Genesis::new("one", Scheme::Ed25519, public), false).expect("the core does not look into keys")
    };
    let message = |chain: &Chain| verifier(chain).expect_err("bad keys").to_string();
    let short = message(&chain(&|keys| keys[2].truncate(31)));
    assert!(short.starts_with("genesis.keys[2]: 31 bytes that are no public key of ed25519"), "{short}");
    let shared = message(&chain(&|keys| keys[3] = keys[1].clone()));
    assert!(shared.starts_with("genesis.keys[3]: is the key of replica 1 too"), "{shared}");
    let simulated = Chain::new(Genesis::new("one", Scheme::Simulated, vec![vec![0]; 4]), false).expect("good");
    assert!(matches!(verifier(&simulated), Err(KeyError::Scheme(Scheme::Simulated))));
    assert!(matches!(verifier_by::<AwsLc>(&chain(&|_| ())), Err(KeyError::Scheme(Scheme::Ed25519))));
}

#[test]
fn keys_find_their_replica() {
    let chain = chain_named("one", Scheme::Ed25519);
    assert_eq!(keys(Scheme::Ed25519, 2).replica(&chain).expect("a member"), ReplicaId(2));
    let stranger = keys(Scheme::Ed25519, 9).replica(&chain).expect_err("no member").to_string();
    assert!(stranger.contains("belongs to no replica of chain one"), "{stranger}");
}

/// Counts what it is asked.
#[derive(Debug)]
struct Counting(Arc<dyn SignatureVerifier>, std::sync::atomic::AtomicU64);

impl SignatureVerifier for Counting {
    fn verify(&self, signer: ReplicaId, statement: Statement<'_>, signature: &Signature) -> bool {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.verify(signer, statement, signature)
    }

    fn verify_caller(&self, caller: &Caller, id: RequestId, signature: &Signature) -> bool {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.verify_caller(caller, id, signature)
    }
}

#[test]
fn the_cache_asks_once_about_what_is_right_and_always_about_what_is_wrong() {
    let chain = chain_named("one", Scheme::Ed25519);
    let counting = Arc::new(Counting(verifier(&chain).expect("good keys"), 0.into()));
    let asked = || counting.1.load(std::sync::atomic::Ordering::Relaxed);
    let cached = Cached::new(Arc::clone(&counting) as Arc<dyn SignatureVerifier>, &chain, 100);
    let signer = signer(&keys(Scheme::Ed25519, 1), context(&chain), ReplicaId(1));
    let statement = vote(Phase::Commit, 1);
    let signature = signer.sign(Statement::Vote(&statement));
    for _ in 0..3 {
        assert!(cached.verify(ReplicaId(1), Statement::Vote(&statement), &signature));
    }
    assert_eq!((asked(), cached.stats()), (1, CacheStats { hits: 2, misses: 1 }));
    for _ in 0..2 {
        assert!(!cached.verify(ReplicaId(2), Statement::Vote(&statement), &signature), "another signer");
    }
    assert_eq!((asked(), cached.stats()), (3, CacheStats { hits: 2, misses: 3 }));
    let client = keys(Scheme::Ed25519, 9);
    let id = Digest([1; 32]);
    let request = client.sign_request(id);
    for _ in 0..2 {
        assert!(cached.verify_caller(&client.caller(), id, &request));
    }
    assert!(!cached.verify_caller(&Caller { scheme: Scheme::MlDsa87, ..client.caller() }, id, &request));
    assert_eq!((asked(), cached.stats()), (5, CacheStats { hits: 3, misses: 5 }));
}

#[test]
fn the_cache_forgets_what_nobody_asks_for_and_keeps_what_is_asked_for() {
    let chain = chain_named("one", Scheme::Ed25519);
    let cached = Cached::new(verifier(&chain).expect("good keys"), &chain, 4);
    let signer = signer(&keys(Scheme::Ed25519, 1), context(&chain), ReplicaId(1));
    let ask = |slot| {
        let before = cached.stats().hits;
        let statement = vote(Phase::Prepare, slot);
        assert!(cached.verify(ReplicaId(1), Statement::Vote(&statement), &signer.sign(Statement::Vote(&statement))));
        before < cached.stats().hits
    };
    assert!(!ask(1));
    for slot in 2..20 {
        assert!(!ask(slot), "slot {slot} is new");
        assert!(ask(1), "slot 1 is asked for again and again");
    }
    assert!(!ask(2), "slot 2 was forgotten");
}

#[test]
fn a_key_file_gives_back_the_keys_and_is_never_overwritten() {
    let folder = Folder::new("key-file");
    for scheme in [Scheme::MlDsa87, Scheme::Ed25519] {
        let path = folder.file(scheme_name(scheme));
        let keys = Keys::generate(scheme).expect("randomness");
        keys.create(&path).expect("a new file");
        let text = fs::read(&path).expect("it is there");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        let loaded = Keys::load(&path).expect("a good file");
        assert_eq!((loaded.scheme(), loaded.public()), (scheme, keys.public()));
        let again = self::keys(scheme, 1).create(&path);
        assert!(matches!(again, Err(KeyError::Exists { .. })), "{again:?}");
        assert_eq!(fs::read(&path).expect("it is there"), text);
    }
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_the_remedy() {
    let folder = Folder::new("exposed");
    let path = folder.file("key");
    keys(Scheme::Ed25519, 1).create(&path).expect("a new file");
    for mode in [0o640, 0o604, 0o620, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        let error = Keys::load(&path).expect_err("others can read it").to_string();
        assert!(error.contains(&format!("mode {mode:03o}")), "{error}");
        assert!(error.contains("`chmod 600 "), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("it is ours");
    assert!(Keys::load(&path).is_ok(), "read-only is fine");
}

#[test]
fn a_damaged_key_file_is_refused_and_its_contents_are_not_shown() {
    let folder = Folder::new("damaged");
    let seed = "ab".repeat(32);
    let cases = [
        (format!("cretoai-key-v2 ed25519\n{seed}\n"), "another version"),
        (format!("cretoai-key-v1 rsa\n{seed}\n"), "neither ml-dsa-87 nor ed25519"),
        ("cretoai-key-v1 ed25519".to_owned(), "only one line"),
        (format!("cretoai-key-v1 ed25519\n{}\n", &seed[1..]), "not 64 digits"),
        (format!("cretoai-key-v1 ed25519\n{}g\n", &seed[1..]), "the digits 0 to 9"),
        (format!("cretoai-key-v1 ed25519\n{seed}\n{seed}\n"), "too long"),
    ];
    for (number, (text, complaint)) in cases.iter().enumerate() {
        let path = folder.file(&number.to_string());
        fs::write(&path, text).expect("a new file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        let error = Keys::load(&path).expect_err(complaint).to_string();
        assert!(error.contains(complaint), "{error}");
        assert!(!error.contains("abab"), "{error}");
    }
    assert!(matches!(Keys::load(&folder.file("none")), Err(KeyError::Io { .. })));
    assert!(matches!(Keys::load(&folder.0), Err(KeyError::Exposed { .. } | KeyError::Format { .. })));
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    for scheme in [Scheme::MlDsa87, Scheme::Ed25519] {
        let chain = chain_named("one", scheme);
        let keys = keys(scheme, 0xab);
        let printed = format!("{keys:?} {:?}", signer(&keys, context(&chain), ReplicaId(1)));
        assert!(!printed.contains("abab") && !printed.contains("171, 171"), "{printed}");
    }
}
