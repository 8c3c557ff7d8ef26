//! Who may talk: TLS 1.3 with raw public keys (RFC 7250), those of the committee and no others (`docs/protocol.md` A4).
//!
//! There are no certificates and no authorities. Each end proves that it has the secret key of a public key that stands
//! in the genesis. The keys of a connection come from X25519 and ML-KEM-768 together, so that who records the traffic
//! today cannot read it with a quantum computer tomorrow. Sessions are never resumed: a resumed one asks no verifier.

use super::config::{QuicError, QuicLimits};
use super::stats::{Refusal, Refusals};
use crate::signatures::Keys;
use aws_lc_rs::signature::{ML_DSA_87_SIGNING, PqdsaKeyPair};
use cretoai_core::config::{Chain, Scheme};
use cretoai_core::types::ReplicaId;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group, sign::any_supported_type};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, alg_id,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, public_key_to_spki};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, version};
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The name of the protocol on a connection. Its version is in the hello, where a difference can be counted and named.
const ALPN: &[u8] = b"cretoai";

/// Bytes of a datagram where the path carries them: jumbo frames, and the loopback interface. What a datagram costs
/// hardly depends on its length. Ten of them, as many as the library hands to the kernel at once, stay below 64 KiB.
pub(super) const LARGEST_DATAGRAM: u16 = 6500;

/// What a server is called in the handshake. Nobody looks at it: keys say who somebody is.
pub(super) const SERVER_NAME: &str = "replica.cretoai";

/// The replicas by their keys, in the form in which TLS shows them.
#[derive(Debug)]
pub(super) struct Members {
    scheme: Scheme,
    ids: HashMap<Vec<u8>, ReplicaId>,
}

impl Members {
    pub(super) fn new(chain: &Chain) -> Self {
        let scheme = chain.genesis.scheme;
        let keys = chain.genesis.keys.iter().map(|key| spki(scheme, &key.0).to_vec());
        Self { scheme, ids: keys.zip((0..).map(ReplicaId)).collect() }
    }

    /// The replica at the other end of a connection. Asked after every handshake, whatever the verifiers said in it.
    pub(super) fn peer(&self, connection: &quinn::Connection) -> Option<ReplicaId> {
        let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        let [key] = identity.as_slice() else { return None };
        self.ids.get(key.as_ref()).copied()
    }

    fn signature_scheme(&self) -> SignatureScheme {
        signature_scheme(self.scheme)
    }
}

fn signature_scheme(scheme: Scheme) -> SignatureScheme {
    match scheme {
        Scheme::Ed25519 => SignatureScheme::ED25519,
        Scheme::MlDsa87 | Scheme::Simulated => SignatureScheme::ML_DSA_87,
    }
}

fn spki(scheme: Scheme, key: &[u8]) -> SubjectPublicKeyInfoDer<'static> {
    let algorithm = match scheme {
        Scheme::Ed25519 => alg_id::ED25519,
        Scheme::MlDsa87 | Scheme::Simulated => alg_id::ML_DSA_87,
    };
    public_key_to_spki(&algorithm, key)
}

/// What TLS and QUIC need to know, on both sides.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
    members: Arc<Members>,
    transport: Arc<TransportConfig>,
}

impl Identity {
    pub(super) fn new(keys: &Keys, members: Arc<Members>, limits: &QuicLimits) -> Result<Self, QuicError> {
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::X25519MLKEM768];
        provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        let secret = any_supported_type(&private_key(keys)?).map_err(failed)?;
        let public = CertificateDer::from(spki(keys.scheme(), keys.public()).to_vec());
        let key = Arc::new(CertifiedKey::new(vec![public], secret));
        Ok(Self { provider: Arc::new(provider), key, members, transport: Arc::new(transport(limits)) })
    }

    /// Shows the public key of another, and signs with the own secret all the same.
    #[cfg(test)]
    pub(super) fn show(&mut self, other: &Self) {
        self.key = Arc::new(CertifiedKey::new(other.key.cert.clone(), Arc::clone(&self.key.key)));
    }

    pub(super) fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// For accepting connections of members.
    pub(super) fn server(&self, refusals: Arc<Refusals>) -> Result<quinn::ServerConfig, QuicError> {
        let verifier = Arc::new(Verifier::new(self, Expected::Member, refusals));
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(failed)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.key))));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.max_early_data_size = 0;
        let tls = QuicServerConfig::try_from(tls).map_err(|error| QuicError::Tls(error.to_string()))?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(Arc::clone(&self.transport));
        Ok(config)
    }

    /// For connecting to one member.
    pub(super) fn client(&self, to: ReplicaId, refusals: Arc<Refusals>) -> Result<quinn::ClientConfig, QuicError> {
        self.quic_client(self.tls_client(to, refusals)?)
    }

    pub(super) fn tls_client(&self, to: ReplicaId, refusals: Arc<Refusals>) -> Result<rustls::ClientConfig, QuicError> {
        let verifier = Arc::new(Verifier::new(self, Expected::Only(to), refusals));
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(failed)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.key))));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.resumption = Resumption::disabled();
        tls.enable_early_data = false;
        Ok(tls)
    }

    pub(super) fn quic_client(&self, tls: rustls::ClientConfig) -> Result<quinn::ClientConfig, QuicError> {
        let tls = QuicClientConfig::try_from(tls).map_err(|error| QuicError::Tls(error.to_string()))?;
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::clone(&self.transport));
        Ok(config)
    }
}

fn failed(error: Error) -> QuicError {
    QuicError::Tls(error.to_string())
}

/// The secret key in the one form that the TLS library reads, PKCS #8.
fn private_key(keys: &Keys) -> Result<PrivateKeyDer<'static>, QuicError> {
    /// What stands before the 32 bytes of an Ed25519 key (RFC 8410).
    const ED25519_HEAD: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
    let der = if keys.scheme() == Scheme::Ed25519 {
        Zeroizing::new([ED25519_HEAD.as_slice(), keys.seed()].concat())
    } else {
        let refused = || QuicError::Tls("the ML-DSA-87 key has no PKCS #8 form".to_owned());
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_87_SIGNING, keys.seed()).map_err(|_| refused())?;
        Zeroizing::new(pair.to_pkcs8v1().map_err(|_| refused())?.as_ref().to_vec())
    };
    // The library's type zeroizes what it owns.
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_slice())).clone_key())
}

fn transport(limits: &QuicLimits) -> TransportConfig {
    let mut config = TransportConfig::default();
    let window = VarInt::from_u32(limits.window_bytes);
    // A lane fills its own window and no other's: four of them fit the connection's, so that bulk data that nobody
    // takes never uses up what votes need.
    let whole = 4 * u64::from(limits.window_bytes);
    // Found out by probing, so a path that carries less costs a few lost probes.
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(LARGEST_DATAGRAM);
    config
        .mtu_discovery_config(Some(discovery))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(3))
        .stream_receive_window(window)
        .receive_window(VarInt::from_u64(whole).unwrap_or(VarInt::MAX))
        .send_window(whole)
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(limits.keep_alive))
        .max_idle_timeout(IdleTimeout::try_from(limits.idle_timeout).ok());
    config
}

/// Whose key the other end has to show.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Member,
    Only(ReplicaId),
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    members: Arc<Members>,
    expected: Expected,
    refusals: Arc<Refusals>,
}

impl Verifier {
    fn new(identity: &Identity, expected: Expected, refusals: Arc<Refusals>) -> Self {
        let (provider, members) = (Arc::clone(&identity.provider), Arc::clone(&identity.members));
        Self { provider, members, expected, refusals }
    }

    fn check_key(&self, key: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        let member = self.members.ids.get(key.as_ref()).filter(|_| others.is_empty());
        let is_expected = member.is_some_and(|member| match self.expected {
            Expected::Member => true,
            Expected::Only(id) => *member == id,
        });
        if is_expected {
            return Ok(());
        }
        self.refusals.count(Refusal::Stranger);
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        let checked = verify_tls13_signature_with_raw_key(message, &key, signature, algorithms);
        checked.inspect_err(|_| self.refusals.count(Refusal::Proof))
    }
}

/// What both sides of a handshake ask of a verifier in the same words: the library has a trait for each of them.
macro_rules! signature_checks {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.3 only".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.check_signature(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![self.members.signature_scheme()]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    signature_checks!();
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    signature_checks!();
}
